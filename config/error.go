package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is a mistake at a place in a file.
type Error struct {
	File string
	// Line and Column count from 1, Column in characters. A Line of 0 means
	// the file as a whole.
	Line, Column int
	// Err says what is wrong, a semicolon, and the remedy.
	Err error
}

// Error returns "file:line:column: what is wrong; remedy".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// PointerError is an error about the value that a JSON pointer (RFC 6901)
// names. Its text says nothing of the place.
type PointerError interface {
	error
	Pointer() string
}

// Pointed returns err as a [PointerError] at a JSON pointer, for mistakes that
// are found where the file is not at hand.
func Pointed(pointer string, err error) error { return &pointedError{pointer, err} }

type pointedError struct {
	pointer string
	err     error
}

var _ PointerError = (*pointedError)(nil)

func (e *pointedError) Error() string   { return e.err.Error() }
func (e *pointedError) Pointer() string { return e.pointer }
func (e *pointedError) Unwrap() error   { return e.err }

// Pointer joins tokens to a JSON pointer (RFC 6901 §3).
func Pointer(tokens ...string) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(escapeToken.Replace(token))
	}
	return b.String()
}

var escapeToken = strings.NewReplacer("~", "~0", "/", "~1")

// Errorf returns an [*Error] at what the JSON pointer names; see [File.At].
func (f *File) Errorf(pointer, format string, args ...any) error {
	line, column := f.At(pointer)
	return &Error{File: f.name, Line: line, Column: column, Err: fmt.Errorf(format, args...)}
}

func (f *File) errorAt(offset int, err error) *Error {
	line, column := f.position(offset)
	return &Error{File: f.name, Line: line, Column: column, Err: err}
}

// Locate gives every [PointerError] within err, also within errors that were
// joined, its place: in the file that has most of the pointer, the first of
// equals. The result joins one [*Error] for each, ordered by file and line, and
// after them the errors without a pointer. It is nil when err is.
func Locate(err error, files ...*File) error {
	var located []*Error
	var others []error
	for _, e := range flatten(err) {
		var p PointerError
		if len(files) == 0 || !errors.As(e, &p) {
			others = append(others, e)
			continue
		}
		located = append(located, locate(e, p.Pointer(), files))
	}
	slices.SortStableFunc(located, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	all := make([]error, 0, len(located)+len(others))
	for _, e := range located {
		all = append(all, e)
	}
	return errors.Join(append(all, others...)...)
}

// Locate is the function [Locate] for one file.
func (f *File) Locate(err error) error { return Locate(err, f) }

func locate(err error, pointer string, files []*File) *Error {
	best, bestOffset, bestDepth := files[0], 0, -1
	for _, f := range files {
		if offset, depth := f.find(pointer); depth > bestDepth {
			best, bestOffset, bestDepth = f, offset, depth
		}
	}
	return best.errorAt(bestOffset, err)
}

// flatten takes errors.Join apart; an error that merely wraps stays whole.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
