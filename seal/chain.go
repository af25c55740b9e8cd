package seal

import (
	"crypto/sha256"
	"encoding/binary"
)

// Purpose keeps chains apart: a link of one says nothing about another.
type Purpose string

// The purposes.
const (
	// Recording is the chain over the segments of one session's recording.
	Recording Purpose = "recording"
	// Trail is the chain over the lines of the audit trail.
	Trail Purpose = "trail"
)

// SumSize is the size of a link's hash in bytes.
const SumSize = sha256.Size

// Link is the state of a chain after its N-th record, from 1; N is 0 before the
// first one. It stands for everything before it.
type Link struct {
	N   uint64
	Sum [SumSize]byte
}

// Start is the link before the first record of a chain. The header is what the
// chain is about, so that two chains of a purpose never share a link.
func Start(p Purpose, header []byte) Link {
	h := sha256.New()
	h.Write([]byte("shellagent " + string(p) + " v1\n"))
	h.Write(header)
	var l Link
	h.Sum(l.Sum[:0])
	return l
}

// Next is the link after one more record, which may be given in pieces.
func (l Link) Next(record ...[]byte) Link {
	size := 0
	for _, piece := range record {
		size += len(piece)
	}
	var numbers [16]byte
	binary.BigEndian.PutUint64(numbers[:8], l.N+1)
	binary.BigEndian.PutUint64(numbers[8:], uint64(size))
	h := sha256.New()
	h.Write(l.Sum[:])
	h.Write(numbers[:])
	for _, piece := range record {
		h.Write(piece)
	}
	next := Link{N: l.N + 1}
	h.Sum(next.Sum[:0])
	return next
}

// signed is what a signature of the link is over.
func (l Link) signed(p Purpose) []byte {
	b := append([]byte("shellagent link v1\n"), p...)
	b = append(b, '\n')
	b = binary.BigEndian.AppendUint64(b, l.N)
	return append(b, l.Sum[:]...)
}
