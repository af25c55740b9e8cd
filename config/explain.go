package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// hujson tells the place in its text only; columns there count bytes.
var syntaxPlace = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^hujson: line (\d+), column (\d+): `) })

// explainSyntax turns an error of the parser into one at its place.
func (f *File) explainSyntax(err error) error {
	text, offset := err.Error(), 0
	if m := syntaxPlace().FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		column, _ := strconv.Atoi(m[2])
		offset = f.offsetOf(line, column)
		text = text[len(m[0]):]
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return f.errorAt(offset, errors.New("the file ends too early; close what is open: a string, a comment, } or ]"))
	}
	return f.errorAt(offset, fmt.Errorf("%s; look for a comma, colon, quote or bracket missing before it", text))
}

func (f *File) offsetOf(line, column int) int {
	offset := 0
	for ; line > 1 && offset < len(f.text); line-- {
		n := strings.IndexByte(string(f.text[offset:]), '\n')
		if n < 0 {
			return len(f.text)
		}
		offset += n + 1
	}
	return offset + column - 1
}

// explain turns an error of the decoder into one at its place, in words that
// know nothing of Go.
func (f *File) explain(err error) error {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntactic):
		offset := f.skipBlank(int(syntactic.ByteOffset))
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return f.errorAt(offset, fmt.Errorf("%q is given twice; keep one", syntactic.JSONPointer.LastToken()))
		}
		return f.errorAt(offset, fmt.Errorf("%w; correct it", syntactic.Err))
	case !errors.As(err, &semantic):
		return f.errorAt(0, err)
	case errors.Is(semantic.Err, json.ErrUnknownName):
		// The pointer would lead to the value; the mistake is in the name.
		name := semantic.JSONPointer.LastToken()
		return f.errorAt(f.skipBlank(int(semantic.ByteOffset)),
			fmt.Errorf("unknown key %q; %s", name, remedy(name, semantic.GoType)))
	}
	offset, _ := f.find(string(semantic.JSONPointer))
	return f.errorAt(offset, mismatch(semantic))
}

// skipBlank moves an offset that lies before a value's blanks, comma or colon
// to the value.
func (f *File) skipBlank(offset int) int {
	for offset < len(f.text) && strings.IndexByte(" \t\r\n,:", f.text[offset]) >= 0 {
		offset++
	}
	return offset
}

// mismatch says what was wanted. An error that a type's own decoder made is
// said in its words.
func mismatch(e *json.SemanticError) error {
	name := strconv.Quote(e.JSONPointer.LastToken())
	if e.JSONPointer == "" {
		name = "the file"
	}
	want, remedy := wanted(e.GoType)
	found := jsonKind(e.JSONKind)
	switch {
	case e.Err != nil && errors.Is(e.Err, strconv.ErrRange), e.Err != nil && errors.Is(e.Err, strconv.ErrSyntax):
		return fmt.Errorf("%s must be a whole number within its range, not %s; correct it", name, string(e.JSONValue))
	case e.Err != nil:
		return e.Err
	case want == "" || found == "":
		return fmt.Errorf("%s has the wrong form; see the documentation", name)
	}
	return fmt.Errorf("%s must be %s, not %s; %s", name, want, found, remedy)
}

func wanted(t reflect.Type) (want, remedy string) {
	if t == nil {
		return "", ""
	}
	switch t.Kind() {
	case reflect.String:
		return "a string", "put it in double quotes"
	case reflect.Bool:
		return "true or false", "write true or false without quotes"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number", "write digits without quotes"
	case reflect.Float32, reflect.Float64:
		return "a number", "write it without quotes"
	case reflect.Slice, reflect.Array:
		return "a list", "put it in [ ]"
	case reflect.Map, reflect.Struct:
		return "an object", "write { } with its keys"
	case reflect.Pointer:
		return wanted(t.Elem())
	}
	return "", ""
}

func jsonKind(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{', '}':
		return "an object"
	case '[', ']':
		return "a list"
	}
	return ""
}
