package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"shellagent/jwtauth"
	"shellagent/seal"
	"shellagent/shell"
)

const (
	// SegmentTime is the longest that lines wait for their segment to be closed
	// while output flows, and so the most that a kill -9 loses.
	SegmentTime = time.Second

	segmentLines = 256 << 10 // bytes of lines that close a segment at once
)

// Sealer signs the links of a recording's chain; *[seal.Key] is one.
type Sealer interface {
	Sign(seal.Purpose, seal.Link) []byte
	Certificate() (certificate string, host jwtauth.PublicKey)
}

// Options are how a recording is written.
type Options struct {
	// Cols, Rows and Term are the screen's at the start; 80 by 24 without.
	Cols, Rows int
	Term       string
	// Recipients encrypt every segment by itself; without any none is encrypted.
	Recipients []age.Recipient
	// Wrote, unless nil, is told the size of everything written to the file.
	Wrote func(bytes int)
}

// Writer writes one recording. It is for one goroutine at a time. After an error
// of the file it returns that error from every method: what was written until
// then ends with a whole segment, or with one that [Export] leaves out.
type Writer struct {
	file       *os.File
	sealer     Sealer
	recipients []age.Recipient
	wrote      func(int)
	link       seal.Link
	size       int64
	err        error

	lines  []byte    // of the open segment
	pooled *[]byte   // their buffer's place in the pool; nil while there is none
	opened time.Time // when the first of them came
	last   time.Duration
	out    runes
	outErr runes
	in     runes
}

// Create begins a recording at path, whose folders are made, mode 0700; the file
// must not exist yet, and has mode 0600.
func Create(path string, h Header, s Sealer, o Options) (*Writer, error) {
	certificate, host := s.Certificate()
	h.Version, h.Certificate, h.HostKey = Version, certificate, host.AuthorizedKey("")
	outer := h
	if len(o.Recipients) > 0 {
		outer.Command, outer.Argv = "", nil // as much a secret as what it shows
	}
	header, err := outer.encode()
	if err != nil {
		return nil, err
	}
	if o.Cols <= 0 || o.Rows <= 0 {
		o.Cols, o.Rows = 80, 24
	}
	first, err := h.firstLine(o.Cols, o.Rows, o.Term)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	w := &Writer{file: f, sealer: s, recipients: o.Recipients, wrote: o.Wrote, link: seal.Start(seal.Recording, header)}
	if err := w.write(appendSkippable(nil, magicHeader, header)); err != nil {
		return nil, errors.Join(fmt.Errorf("recording: %w", err), f.Close(), os.Remove(path))
	}
	// At once, so that there is a cast to play however soon it ends.
	w.lines = first
	if err := w.closeSegment(false); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return w, nil
}

// Output records output of a type at a time after the session's start.
func (w *Writer) Output(at time.Duration, t shell.FrameType, p []byte) error {
	code, held := byte('o'), &w.out
	if t == shell.FrameStderr {
		code, held = 'e', &w.outErr
	}
	return w.text(at, code, held, p)
}

// Input records input.
func (w *Writer) Input(at time.Duration, p []byte) error { return w.text(at, 'i', &w.in, p) }

// Resize records a new size of the screen.
func (w *Writer) Resize(at time.Duration, cols, rows int) error {
	return w.event(at, 'r', fmt.Appendf(nil, "%dx%d", cols, rows))
}

// Mark records a remark about the recording itself, as a gap is.
func (w *Writer) Mark(at time.Duration, text string) error { return w.event(at, 'm', []byte(text)) }

func (w *Writer) text(at time.Duration, code byte, held *runes, p []byte) error {
	first, rest := held.whole(p)
	if len(first) > 0 {
		if err := w.event(at, code, first); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return w.event(at, code, rest)
	}
	return w.err
}

func (w *Writer) event(at time.Duration, code byte, data []byte) error {
	if w.err != nil {
		return w.err
	}
	if len(w.lines) == 0 {
		w.opened = time.Now()
		w.pooled = lineBuffers.Get().(*[]byte)
		w.lines = (*w.pooled)[:0]
	}
	w.last = max(w.last, at) // time does not go backwards in a cast
	w.lines = appendEvent(w.lines, w.last, code, data)
	if len(w.lines) >= segmentLines {
		return w.closeSegment(false)
	}
	return nil
}

// Due returns how long the open segment may still wait for [Writer.Flush], and
// false when there is nothing to flush.
func (w *Writer) Due() (time.Duration, bool) {
	if len(w.lines) == 0 || w.err != nil {
		return 0, false
	}
	return max(0, SegmentTime-time.Since(w.opened)), true
}

// Flush closes the open segment: what was recorded before is in the file.
func (w *Writer) Flush() error {
	if len(w.lines) == 0 || w.err != nil {
		return w.err
	}
	return w.closeSegment(false)
}

// End records the exit code and closes the recording: nothing follows, and what
// is cut off from now on is found out. It returns the last link for the trail.
func (w *Writer) End(at time.Duration, code int) (seal.Link, error) {
	for _, h := range []struct {
		code byte
		held *runes
	}{{'o', &w.out}, {'e', &w.outErr}, {'i', &w.in}} {
		if rest := h.held.end(); len(rest) > 0 {
			_ = w.event(at, h.code, rest)
		}
	}
	_ = w.event(at, 'x', fmt.Appendf(nil, "%d", code))
	if w.err == nil {
		_ = w.closeSegment(true)
	}
	if w.err == nil {
		w.fail(w.file.Sync())
	}
	w.fail(w.file.Close())
	return w.link, w.err
}

// Abandon closes the file as it is: the recording ends with its last segment.
func (w *Writer) Abandon() { _ = w.file.Close() }

func (w *Writer) fail(err error) {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("recording: %w", err)
	}
}

// closeSegment writes the lines as a segment, in one write.
func (w *Writer) closeSegment(final bool) error {
	frame, err := w.frame()
	if err != nil {
		w.fail(err)
		return w.err
	}
	h := head{n: w.link.N + 1, closed: uint64(w.last.Milliseconds()), final: final, length: uint32(len(frame))}
	link := w.link.Next(h.record(frame))
	copy(h.signature[:], w.sealer.Sign(seal.Recording, link))
	b := append(appendSkippable(nil, magicHead, h.append(nil)), frame...)
	if err := w.write(b); err != nil {
		w.fail(err)
		return w.err
	}
	w.link = link
	if w.pooled != nil && cap(w.lines) <= 2*segmentLines {
		*w.pooled = w.lines[:0]
		lineBuffers.Put(w.pooled)
	}
	w.lines, w.pooled = nil, nil
	return nil
}

// write writes all of b, or nothing: the part that a full disk still took is
// removed again.
func (w *Writer) write(b []byte) error {
	if _, err := w.file.Write(b); err != nil {
		_ = w.file.Truncate(w.size)
		return err
	}
	w.size += int64(len(b))
	if w.wrote != nil {
		w.wrote(len(b))
	}
	return nil
}

var (
	lineBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 32<<10); return &b }}

	// Encoders are large and quick to use again; an idle recording has none.
	encoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	}}
)

// frame is the open segment's lines as they are stored.
func (w *Writer) frame() ([]byte, error) {
	e := encoders.Get().(*zstd.Encoder)
	packed := e.EncodeAll(w.lines, nil)
	encoders.Put(e)
	if len(w.recipients) == 0 {
		return packed, nil
	}
	sealed, err := encrypt(packed, w.recipients)
	if err != nil {
		return nil, err
	}
	return appendSkippable(nil, magicEncrypted, sealed), nil
}
