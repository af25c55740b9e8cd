package copying

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// A digest of content is SHA-256 over its bytes in order; a hole counts as its
// length, eight bytes, big-endian. A file without holes has the SHA-256 that
// sha256sum prints.

func addHole(h hash.Hash, length int64) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(length)))
}

// checkSize is how much of what an earlier attempt brought is compared before
// more is sent: enough to know a file that is another one now.
const checkSize = 1 << 20

// sumOf is the SHA-256 of a part of a file as it reads: holes are zeros.
func sumOf(ctx context.Context, f *os.File, from, to int64) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	b := newBlock()
	defer b.release()
	for from < to && ctx.Err() == nil {
		b.n = int(min(maxData, to-from))
		n, err := f.ReadAt(b.content(), from)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				err = errShrank
			}
			return sum, err
		}
		_, _ = h.Write(b.content()[:n])
		from += int64(n)
	}
	h.Sum(sum[:0])
	return sum, ctx.Err()
}

// piece is what a file has next: content, a hole, or its end.
type piece struct {
	block *block
	hole  int64
	end   bool
	err   error // of an end: why it is one
	sum   [sha256.Size]byte
	grew  bool
	whole *record // of an end at the receiver: what the sender says of the content
}

// readContent reads a file of the given size from an offset on, hashes it, and
// sends the pieces; the last one is an end.
func readContent(ctx context.Context, f *os.File, m meta, from int64, to chan<- piece) {
	h := sha256.New()
	give := func(p piece) bool {
		select {
		case to <- p:
			return true
		case <-ctx.Done():
			if p.block != nil {
				p.block.release()
			}
			return false
		}
	}
	at, data := from, from
	if !m.sparse {
		data = m.size // there is data up to here
	}
	for at < m.size {
		if at == data {
			start, end, err := nextData(f, at, m.size)
			if err != nil {
				give(piece{end: true, err: err})
				return
			}
			if start > at {
				addHole(h, start-at)
				if !give(piece{hole: start - at}) {
					return
				}
			}
			at, data = start, end
			continue
		}
		b := newBlock()
		b.n = int(min(maxData, data-at))
		n, err := f.ReadAt(b.content(), at)
		if n == 0 {
			b.release()
			if err == nil || errors.Is(err, io.EOF) {
				err = errShrank
			}
			give(piece{end: true, err: err})
			return
		}
		b.n = n
		_, _ = h.Write(b.content())
		if !give(piece{block: b}) {
			return
		}
		at += int64(n)
	}
	p := piece{end: true}
	h.Sum(p.sum[:0])
	now, err := statOf(f)
	switch {
	case err != nil:
		p.err = err
	case now.size < m.size:
		p.err = errShrank
	case now.size > m.size:
		p.grew = true
	case now.sec != m.sec || now.nsec != m.nsec:
		p.err = errChanged
	}
	give(p)
}

// unchanged says why a file that was opened is not the one that was offered. One
// that grew is: what it had is copied.
func unchanged(was, now meta) error {
	switch {
	case now.form != formFile:
		return errors.New("it is no file any more")
	case was.id != nil && was.id != now.id:
		return errors.New("it was replaced by another one; copy it again")
	case now.size < was.size:
		return errShrank
	case now.size == was.size && (now.sec != was.sec || now.nsec != was.nsec):
		return errChanged
	}
	return nil
}

// grewText is told of a file that became longer while it was read.
func grewText(size int64) string {
	return fmt.Sprintf("it grew while it was read; what is copied are its first %d bytes", size)
}
