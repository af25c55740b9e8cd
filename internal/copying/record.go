package copying

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// kind is what a record is.
type kind uint8

// The records, in the order of PROTOCOL.md.
const (
	kindRequest kind = 1 // client: what is to be done
	kindReady   kind = 2 // server: it is done from here on
	kindRefused kind = 3 // server: it is not

	kindDir     kind = 16 // sender: a directory; what follows is in it
	kindLeave   kind = 17 // sender: that was all of the directory
	kindSymlink kind = 18 // sender
	kindFile    kind = 19 // sender: a small file, whole
	kindOffer   kind = 20 // sender: a file that may be had
	kindBegin   kind = 21 // sender: what follows is of this file
	kindData    kind = 22 // sender
	kindHole    kind = 23 // sender
	kindWhole   kind = 24 // sender: that was all of the file
	kindAbort   kind = 25 // sender: no more of this file comes
	kindProblem kind = 26 // sender: something is not sent
	kindTotal   kind = 27 // sender: how much it will be
	kindFinish  kind = 28 // sender: nothing follows

	kindWant     kind = 32 // receiver: send this one, from an offset on
	kindDone     kind = 33 // receiver: a file is in its place
	kindSkip     kind = 34 // receiver: a file is not wanted
	kindFail     kind = 35 // receiver: something could not be written
	kindFinished kind = 36 // receiver: everything was dealt with
)

// Bounds of what is on the wire, in bytes unless said otherwise.
const (
	recordHeader = 4
	maxData      = 256 << 10 // of content in one record
	maxInline    = 128 << 10 // of a file that is sent without being asked for
	maxText      = 16 << 10  // a path, a link's target, a message
	maxPaths     = 4096      // sources of one request
	maxRequest   = 1 << 20
	maxRecord    = maxRequest
)

// layouts says of each kind which fields it has, in order; a letter is a field.
//
//	i id, n offset or length, m mode, t time, f flags, c count: numbers
//	a name or path, x text: strings; p strings
//	s SHA-256, d the rest
var layouts = map[kind]struct {
	fields string
	max    int
}{
	kindRequest: {"fcp", maxRequest},
	kindReady:   {"c", 16},
	kindRefused: {"x", maxText + 8},

	kindDir:     {"amt", maxText + 64},
	kindLeave:   {"", 0},
	kindSymlink: {"axt", 2*maxText + 64},
	kindFile:    {"iamtsd", maxText + maxInline + 128},
	kindOffer:   {"iamtn", maxText + 64},
	kindBegin:   {"in", 32},
	kindData:    {"d", maxData},
	kindHole:    {"n", 16},
	kindWhole:   {"sf2", 96},
	kindAbort:   {"iax", 2*maxText + 64},
	kindProblem: {"fax", 2*maxText + 64},
	kindTotal:   {"cn", 32},
	kindFinish:  {"", 0},

	kindWant:     {"in2", 64},
	kindDone:     {"i", 16},
	kindSkip:     {"i", 16},
	kindFail:     {"iax", 2*maxText + 64},
	kindFinished: {"", 0},
}

// record is one of any kind; those fields count that its layout has.
type record struct {
	kind  kind
	id    uint64
	size  int64 // offset or length
	mode  uint32
	sec   int64
	nsec  uint32
	flags uint64
	count uint64
	name  string
	text  string
	paths []string
	sum   [sha256.Size]byte
	sum2  [sha256.Size]byte
	data  []byte
}

var errRecord = errors.New("the other side does not keep to the protocol")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRecord, fmt.Sprintf(format, args...))
}

// append prints a record behind b. Its strings and data are within bounds.
func (r *record) append(b []byte) []byte {
	at := len(b)
	b = append(b, byte(r.kind), 0, 0, 0)
	for _, field := range layouts[r.kind].fields {
		switch field {
		case 'i':
			b = binary.AppendUvarint(b, r.id)
		case 'n':
			b = binary.AppendUvarint(b, uint64(r.size))
		case 'm':
			b = binary.AppendUvarint(b, uint64(r.mode))
		case 't':
			b = binary.AppendVarint(b, r.sec)
			b = binary.AppendUvarint(b, uint64(r.nsec))
		case 'f':
			b = binary.AppendUvarint(b, r.flags)
		case 'c':
			b = binary.AppendUvarint(b, r.count)
		case 'a':
			b = appendText(b, r.name)
		case 'x':
			b = appendText(b, r.text)
		case 'p':
			b = binary.AppendUvarint(b, uint64(len(r.paths)))
			for _, p := range r.paths {
				b = appendText(b, p)
			}
		case 's':
			b = append(b, r.sum[:]...)
		case '2':
			b = append(b, r.sum2[:]...)
		case 'd':
			b = append(b, r.data...)
		}
	}
	putLength(b[at:], len(b)-at-recordHeader)
	return b
}

// putLength says in a header how much follows it.
func putLength(header []byte, n int) {
	header[1], header[2], header[3] = byte(n>>16), byte(n>>8), byte(n)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parseRecord reads what follows a header. data of the record is a part of
// payload. A record has one form: what is printed again is the same bytes.
func parseRecord(k kind, payload []byte) (record, error) {
	r := record{kind: k}
	p := fields{rest: payload}
	for _, field := range layouts[k].fields {
		switch field {
		case 'i':
			r.id = p.number(1<<62, "id")
		case 'n':
			r.size = int64(p.number(1<<62, "length"))
		case 'm':
			r.mode = uint32(p.number(0o7777, "mode"))
		case 't':
			r.sec = p.signed()
			r.nsec = uint32(p.number(999_999_999, "nanoseconds"))
		case 'f':
			r.flags = p.number(1<<32, "flags")
		case 'c':
			r.count = p.number(1<<62, "count")
		case 'a':
			r.name = p.text()
		case 'x':
			r.text = p.text()
		case 'p':
			n := p.number(maxPaths, "number of paths")
			for range n {
				if p.err != nil {
					break
				}
				r.paths = append(r.paths, p.text())
			}
		case 's':
			p.sum(&r.sum)
		case '2':
			p.sum(&r.sum2)
		case 'd':
			r.data, p.rest = p.rest, nil
		}
	}
	if p.err == nil && len(p.rest) > 0 {
		p.err = malformed("record %d has %d bytes too many", k, len(p.rest))
	}
	return r, p.err
}

// fields takes one field after another off a payload, until one is wrong.
type fields struct {
	rest []byte
	err  error
}

func (p *fields) fail(what string) {
	if p.err == nil {
		p.err = malformed("%s", what)
	}
	p.rest = nil
}

func (p *fields) number(limit uint64, what string) uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 || n > 1 && p.rest[n-1] == 0 || v > limit {
		p.fail("a " + what + " is out of bounds")
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *fields) signed() int64 {
	v, n := binary.Varint(p.rest)
	if n <= 0 || n > 1 && p.rest[n-1] == 0 {
		p.fail("a time is out of bounds")
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *fields) text() string {
	n := p.number(maxText, "text")
	if uint64(len(p.rest)) < n {
		p.fail("a text is cut")
		return ""
	}
	s := string(p.rest[:n])
	p.rest = p.rest[n:]
	return s
}

func (p *fields) sum(to *[sha256.Size]byte) {
	if len(p.rest) < len(to) {
		p.fail("a digest is cut")
		return
	}
	p.rest = p.rest[copy(to[:], p.rest):]
}
