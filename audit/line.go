package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"shellagent/seal"
)

// ErrLine says that a line is none of a trail.
var ErrLine = errors.New("not a line of a trail")

// What follows an event's members; the widest number has 20 digits.
const (
	sumLength = 43
	sigLength = 86
	maxSeal   = len(`,"n":`) + 20 + len(`,"sum":""`) + sumLength + len(`,"sig":""}`) + sigLength + 1
)

var b64 = base64.RawURLEncoding.Strict()

// appendLine appends the line of an event's object, which ends in "}", at a link.
func appendLine(b, object []byte, l seal.Link, signature []byte) []byte {
	b = append(b, object[:len(object)-1]...)
	b = append(b, `,"n":`...)
	b = strconv.AppendUint(b, l.N, 10)
	b = append(b, `,"sum":"`...)
	b = b64.AppendEncode(b, l.Sum[:])
	b = append(b, `","sig":"`...)
	b = b64.AppendEncode(b, signature)
	return append(b, `"}`+"\n"...)
}

// line is what appendLine was given.
type line struct {
	object    []byte
	link      seal.Link
	signature [seal.SignatureSize]byte
}

// parseLine is appendLine's inverse, byte for byte. raw has no newline.
func parseLine(raw []byte) (line, error) {
	var l line
	rest, sig, ok := cutMember(raw, `,"sig":"`, `"}`, sigLength)
	if !ok {
		return line{}, ErrLine
	}
	rest, sum, ok := cutMember(rest, `,"sum":"`, `"`, sumLength)
	if !ok {
		return line{}, ErrLine
	}
	at := bytes.LastIndex(rest, []byte(`,"n":`))
	if at < 1 || rest[0] != '{' {
		return line{}, ErrLine
	}
	digits := string(rest[at+len(`,"n":`):])
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return line{}, ErrLine
	}
	l.link.N = n
	if k, err := b64.Decode(l.link.Sum[:], sum); err != nil || k != seal.SumSize {
		return line{}, fmt.Errorf("%w: sum", ErrLine)
	}
	if k, err := b64.Decode(l.signature[:], sig); err != nil || k != seal.SignatureSize {
		return line{}, fmt.Errorf("%w: sig", ErrLine)
	}
	l.object = append(append(make([]byte, 0, at+1), rest[:at]...), '}')
	return l, nil
}

// cutMember takes a member with a value of a known length off the end.
func cutMember(raw []byte, before, after string, length int) (rest, value []byte, ok bool) {
	raw, ok = bytes.CutSuffix(raw, []byte(after))
	if !ok || len(raw) < len(before)+length {
		return nil, nil, false
	}
	value = raw[len(raw)-length:]
	rest, ok = bytes.CutSuffix(raw[:len(raw)-length], []byte(before))
	return rest, value, ok
}
