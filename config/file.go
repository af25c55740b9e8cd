package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/tailscale/hujson"
)

const (
	// MaxSize bounds a configuration file, in bytes.
	MaxSize = 1 << 20
	// MaxDepth bounds how deep objects and lists may nest: the parser recurses.
	MaxDepth = 64
)

// File is a decoded file that remembers where everything was written. It is
// immutable and safe for concurrent use.
type File struct {
	name string
	text []byte
	root hujson.Value
}

// Read reads the file at path into dst, a pointer to a struct. A file that is
// missing matches fs.ErrNotExist; a mistake within it is a [*Error].
func Read(path string, dst any) (*File, error) {
	text, err := readBounded(path, MaxSize)
	if err != nil {
		return nil, err
	}
	return Decode(path, text, dst)
}

// Decode fills dst, a pointer to a struct, from text. name stands for the file
// in errors. A time.Duration is written as "90s" or as a number of seconds.
// dst may be partly filled when an error is returned.
func Decode(name string, text []byte, dst any) (*File, error) {
	if len(text) > MaxSize {
		return nil, &Error{File: name, Err: fmt.Errorf("the file is larger than %d bytes; split it", MaxSize)}
	}
	f := &File{name: name, text: normalized(text)}
	if len(bytes.TrimSpace(f.text)) == 0 {
		return nil, f.errorAt(0, errors.New("the file is empty; write {} for no settings"))
	}
	if offset, ok := tooDeep(f.text); ok {
		return nil, f.errorAt(offset, fmt.Errorf("nested deeper than %d levels; flatten it", MaxDepth))
	}
	standard, err := f.parse()
	if err != nil {
		return nil, err
	}
	if v := findNull(&f.root); v != nil {
		return nil, f.errorAt(v.StartOffset, errors.New("null sets nothing; leave the key out for its default"))
	}
	err = json.Unmarshal(standard, dst,
		json.RejectUnknownMembers(true), json.WithUnmarshalers(durations))
	if err != nil {
		return nil, f.explain(err)
	}
	return f, nil
}

// Name returns the file as it was named to [Read] or [Decode].
func (f *File) Name() string { return f.name }

// normalized returns a copy of text without the byte order mark that Windows
// editors write and do not count as a column, and with the newline that the
// parser wants after a last line that is a comment.
func normalized(text []byte) []byte {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	out := make([]byte, 0, len(text)+1)
	return append(append(out, text...), '\n')
}

// parse keeps the tree of f.text and returns the text as standard JSON, every
// byte at its old offset.
func (f *File) parse() ([]byte, error) {
	if !utf8.Valid(f.text) {
		return nil, f.errorAt(invalidUTF8(f.text), errors.New("not UTF-8; save the file as UTF-8"))
	}
	root, err := hujson.Parse(f.text)
	if err != nil {
		return nil, f.explainSyntax(err)
	}
	f.root = root
	// Standardize rewrites in place: the tree must keep the original text.
	standard := root.Clone()
	standard.Standardize()
	return standard.Pack(), nil
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

// readBounded refuses what is not a plain file: a pipe would block the start
// and a device has no end.
func readBounded(path string, limit int) ([]byte, error) {
	file, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file; name one", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes; split it", path, limit)
	}
	return text, nil
}
