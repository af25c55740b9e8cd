package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"shellagent/jwtauth"
	"shellagent/seal"
	"shellagent/shell"
)

// SegmentTime is the longest that events wait for their segment to be closed
// while output flows, and so the most that a kill -9 loses. What is recorded has
// waited a little before (see [shell.Tap.Wake]).
const SegmentTime = time.Second

const closeAfter = SegmentTime - 50*time.Millisecond

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

	events events    // of the open segment
	opened time.Time // when the first of them came
	bulk   bool      // the segment before was closed before its time
	lines  allowance
	ahead  int // held bytes that the room is behind
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
	p := presses.Get().(*press)
	defer p.putBack()
	if err := w.store(p.pack(p.free(frontFree), first), false); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return w, nil
}

// Output records output of a type at a time after the session's start.
func (w *Writer) Output(at time.Duration, t shell.FrameType, p []byte) error {
	code, held := w.stream(t)
	return w.text(at, code, held, p)
}

// stream is how output of a type is told from other.
func (w *Writer) stream(t shell.FrameType) (code byte, held *runes) {
	if t == shell.FrameStderr {
		return 'e', &w.outErr
	}
	return 'o', &w.out
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
	for len(p) > 0 && w.err == nil {
		n := copy(w.room(held), p)
		p = p[n:]
		_ = w.take(at, code, held, n)
	}
	return w.err
}

// event records what nothing is held back of, and what is less than leastRoom.
func (w *Writer) event(at time.Duration, code byte, data []byte) error {
	return w.take(at, code, nil, copy(w.room(nil), data))
}

// room is where output is put that [Writer.take] records; held is what was most
// likely held back of the same. It is good until the next call of any method.
func (w *Writer) room(held *runes) []byte {
	w.events.grow(leastRoom, w.bulk)
	w.ahead = 0
	if held != nil {
		w.ahead = held.n
	}
	return w.events.room(w.ahead)
}

// take records the first n bytes of the room.
func (w *Writer) take(at time.Duration, code byte, held *runes, n int) error {
	if w.err != nil {
		return w.err
	}
	if w.events.size() == 0 {
		w.opened = time.Now()
	}
	w.last = max(w.last, at) // time does not go backwards in a cast
	w.events.put(w.last, code, held, w.ahead, n)
	if w.events.full() {
		w.bulk = true
		return w.closeSegment(false)
	}
	return nil
}

// output is the room for output that is most likely of a type; took records what
// was put there.
func (w *Writer) output(likely shell.FrameType) []byte {
	_, held := w.stream(likely)
	return w.room(held)
}

func (w *Writer) took(at time.Duration, t shell.FrameType, n int) error {
	code, held := w.stream(t)
	return w.take(at, code, held, n)
}

// leave gives the room back when nothing was put there.
func (w *Writer) leave() {
	if w.events.size() == 0 {
		w.events.drop()
	}
}

// Due returns how long the open segment may still wait for [Writer.Flush], and
// false when there is nothing to flush.
func (w *Writer) Due() (time.Duration, bool) {
	if w.events.size() == 0 || w.err != nil {
		return 0, false
	}
	return max(0, closeAfter-time.Since(w.opened)), true
}

// Flush closes the open segment: what was recorded before is in the file.
func (w *Writer) Flush() error {
	if w.events.size() == 0 || w.err != nil {
		return w.err
	}
	w.bulk = false
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

// closeSegment writes the events as a segment.
func (w *Writer) closeSegment(final bool) error {
	p := presses.Get().(*press)
	defer p.putBack()
	defer w.events.drop()
	b, err := w.frame(p)
	if err == nil && len(w.recipients) > 0 {
		b, err = p.encrypt(b[frontFree:], w.recipients)
	}
	if err != nil {
		w.fail(err)
		return w.err
	}
	return w.store(b, final)
}

// frame is the open segment as a frame, with frontFree bytes before it.
func (w *Writer) frame(p *press) ([]byte, error) {
	list := w.events.list()
	flood, packed := w.lines.flood(p, list, w.last)
	switch {
	case !flood:
		return p.linesOf(list)
	case packed:
		p.packed = p.pack(p.free(frontSize), list)
		p.packed = finishFlood(p.packed, floodPacked, w.last, len(list))
		return p.packed, nil
	}
	return finishFlood(w.events.buf, floodPlain, w.last, len(list)), nil
}

// store writes the frame that b has behind free space for a head as the next
// segment, in one write.
func (w *Writer) store(b []byte, final bool) error {
	frame := b[frontFree:]
	h := head{n: w.link.N + 1, closed: uint64(w.last.Milliseconds()), final: final, length: uint32(len(frame))}
	link := h.after(w.link, frame)
	copy(h.signature[:], w.sealer.Sign(seal.Recording, link))
	appendSkippable(b[:0], magicHead, h.append(make([]byte, 0, headSize)))
	if err := w.write(b); err != nil {
		w.fail(err)
		return w.err
	}
	w.link = link
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
