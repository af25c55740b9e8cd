package jwtauth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of claims.
const (
	// MaxPayload bounds the JSON of a token's claims, in bytes.
	MaxPayload = 6 << 10
	// MaxClaims bounds the members of the outermost object.
	MaxClaims = 64
	// MaxDepth bounds the nesting; the outermost object is the first level.
	// cnf.jwk takes three.
	MaxDepth = 4
)

var (
	errTooDeep    = fmt.Errorf("claims are nested deeper than %d levels", MaxDepth)
	errNotObject  = errors.New("claims are not one JSON object")
	errTooMany    = fmt.Errorf("there are more than %d claims", MaxClaims)
	errTooLarge   = fmt.Errorf("claims are larger than %d bytes", MaxPayload)
	errOutOfRange = errors.New("a number is out of range")
)

// DecodeObject reads one JSON object of at most [MaxPayload] bytes, [MaxClaims]
// members and [MaxDepth] levels. Names that occur twice, at any level, are
// refused, and so are names of the outermost object that differ only in case:
// nobody may read another value than the one that was checked. Values are nil,
// bool, float64, string, []any and map[string]any.
func DecodeObject(data []byte) (map[string]any, error) {
	object := make(map[string]any, 8)
	err := eachMember(data, func(name string, dec *jsontext.Decoder) error {
		value, err := readValue(dec, 1)
		if err != nil {
			return err
		}
		object[name] = value
		return checkCase(object, name)
	})
	if err != nil {
		return nil, err
	}
	return object, nil
}

func checkCase(object map[string]any, name string) error {
	for other := range object {
		if other != name && strings.EqualFold(other, name) {
			return fmt.Errorf("claims %q and %q differ only in case", other, name)
		}
	}
	return nil
}

// decoding keeps a decoder's buffers and name sets between tokens.
type decoding struct {
	input bytes.Buffer
	dec   jsontext.Decoder
}

var decodings = sync.Pool{New: func() any { return new(decoding) }}

// eachMember calls read for every member of the one object that data holds;
// read takes exactly the member's value from the decoder.
func eachMember(data []byte, read func(name string, dec *jsontext.Decoder) error) error {
	if len(data) > MaxPayload {
		return errTooLarge
	}
	d := decodings.Get().(*decoding)
	defer decodings.Put(d)
	// The decoder reads a bytes.Buffer in place and does not write to it.
	d.input = *bytes.NewBuffer(data)
	dec := &d.dec
	dec.Reset(&d.input)

	if start, err := dec.ReadToken(); err != nil || start.Kind() != '{' {
		return errNotObject
	}
	for n := 0; dec.PeekKind() != '}'; n++ {
		if n == MaxClaims {
			return errTooMany
		}
		name, err := dec.ReadToken()
		if err != nil {
			return fmt.Errorf("claims: %w", err)
		}
		if err := read(name.String(), dec); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return errNotObject
	}
	return nil
}

// readValue reads the next value within an object or array at the given level.
func readValue(dec *jsontext.Decoder, level int) (any, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	switch token.Kind() {
	case '"':
		return token.String(), nil
	case '0':
		number, err := strconv.ParseFloat(token.String(), 64)
		if err != nil {
			return nil, errOutOfRange
		}
		return number, nil
	case 't', 'f':
		return token.Bool(), nil
	case '{':
		return readObject(dec, level+1)
	case '[':
		return readArray(dec, level+1)
	default:
		return nil, nil
	}
}

func readObject(dec *jsontext.Decoder, level int) (map[string]any, error) {
	if level > MaxDepth {
		return nil, errTooDeep
	}
	object := make(map[string]any)
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("claims: %w", err)
		}
		key := name.String()
		if object[key], err = readValue(dec, level); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return object, err
}

func readArray(dec *jsontext.Decoder, level int) ([]any, error) {
	if level > MaxDepth {
		return nil, errTooDeep
	}
	array := []any{}
	for dec.PeekKind() != ']' {
		value, err := readValue(dec, level)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := dec.ReadToken()
	return array, err
}
