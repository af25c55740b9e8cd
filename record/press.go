package record

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// press is what a segment is made in. It is large and quick to use again; an idle
// recording has none.
type press struct {
	encoder               *zstd.Encoder
	lines, packed, sealed []byte
}

var presses = sync.Pool{New: func() any {
	// What is written is signed, and needs no checksum besides.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(segmentEvents), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	return &press{encoder: e}
}}

// putBack gives the press to the next segment.
func (p *press) putBack() {
	if cap(p.lines) > 2*segmentEvents {
		p.lines = nil
	}
	presses.Put(p)
}

// free returns the beginning of a frame: n bytes that are free.
func (p *press) free(n int) []byte {
	if cap(p.packed) < n {
		return make([]byte, n, 4<<10)
	}
	return p.packed[:n]
}

// pack appends a zstd frame.
func (p *press) pack(b, data []byte) []byte { return p.encoder.EncodeAll(data, b) }

// linesOf makes events a frame of lines.
func (p *press) linesOf(events []byte) (_ []byte, err error) {
	if p.lines, err = appendLines(p.lines[:0], events); err != nil {
		return nil, err
	}
	p.packed = p.pack(p.free(frontFree), p.lines)
	return p.packed, nil
}
