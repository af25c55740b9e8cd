package shellhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/internal/failpoint"
)

const (
	// writeTime is how long one write to a client may take: who does not read
	// for this long is cut, and its session becomes detached.
	writeTime = 25 * time.Second
	// idleBuffer is what an idle stream holds, busyBuffer what it borrows while
	// there is output.
	idleBuffer = 1 << 10
	busyBuffer = 128 << 10
)

// busy lends buffers to streams that have output right now: thousands of idle
// ones share a few.
var busy = sync.Pool{New: func() any { return new([busyBuffer]byte) }}

// wantsFrames says whether the Accept header names the binary encoding.
func wantsFrames(h http.Header) bool {
	for _, line := range h["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			mediaType, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), typeFrames) {
				return true
			}
		}
	}
	return false
}

// serveStream sends a session's frames until the session ends, the client goes
// away or does not read. It returns with frames closed.
func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request, frames io.ReadCloser) error {
	leave := sync.OnceFunc(func() { frames.Close() })
	defer leave()
	// The handler is mostly blocked in a read of frames: closing ends it.
	defer context.AfterFunc(r.Context(), leave)()

	encoding := SSE
	if wantsFrames(r.Header) {
		encoding = Frames
	}
	streamHeaders(w.Header(), encoding.mediaType())
	compressed := wantsZstd(r.Header) && h.compressing.take()
	if compressed {
		defer h.compressing.give()
		w.Header().Set("Content-Encoding", codingZstd)
	}
	out := &clientWriter{w: w, rc: http.NewResponseController(w), time: h.writeTime, disarm: r.ProtoMajor == 2}
	if r.ProtoMajor == 1 {
		out.conn = holderOf(connOf(r.Context()))
	}
	if h.cfg.SendBuffer > 0 && r.ProtoMajor == 1 {
		out.much = func() { widen(connOf(r.Context()), h.cfg.SendBuffer) }
	}
	err := send(out, frames, encoding, compressed)
	if r.Context().Err() != nil {
		return nil
	}
	return err
}

func streamHeaders(h http.Header, mediaType string) {
	plainHeaders(h, mediaType)
	h.Set("X-Accel-Buffering", "no") // nginx
}

// send writes frames in an encoding until they end.
func send(out flushWriter, frames io.Reader, encoding Encoding, compressed bool) error {
	encode := encodeEvents
	if encoding == Frames {
		encode = copyFrames
	}
	if !compressed {
		return encode(out, frames)
	}
	packed, err := newDeflater(out)
	if err != nil {
		return err
	}
	if err := encode(packed, frames); err != nil {
		return err
	}
	return packed.end()
}

// maxCompressed bounds the streams that are compressed at a time: each takes
// some 5 MiB. Further ones are answered as they are, which clients take as well.
const maxCompressed = 32

// places are a bounded number of somethings. The zero value is none taken.
type places struct{ taken atomic.Int32 }

func (p *places) take() bool {
	if p.taken.Add(1) <= maxCompressed {
		return true
	}
	p.give()
	return false
}

func (p *places) give() { p.taken.Add(-1) }

// clientWriter writes to a client, each write within time.
type clientWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	time  time.Duration
	until time.Time
	// In HTTP/2 a deadline that passes resets the stream, also between writes.
	disarm bool
	// much, unless nil, is called once after muchSent bytes.
	much func()
	sent int
	// conn, unless nil, makes one write of many records.
	conn holder
}

// deliver writes p and flushes.
func (c *clientWriter) deliver(p []byte) error {
	if c.conn == nil || len(p) <= maxRecord {
		return writeFlushed(c, p)
	}
	c.conn.Hold()
	return errors.Join(writeFlushed(c, p), c.conn.Release())
}

func (c *clientWriter) Write(p []byte) (int, error) {
	// Moving a deadline costs more than a small write, so it is moved when a
	// fifth of it is spent.
	if now := time.Now(); c.until.Sub(now) < c.time*4/5 {
		c.until = now.Add(c.time)
		if err := c.rc.SetWriteDeadline(c.until); err != nil {
			return 0, err
		}
	}
	if c.sent += len(p); c.much != nil && c.sent >= muchSent {
		c.much()
		c.much = nil
	}
	failpoint.Hit(failpoint.FramesReceived, "")
	return c.w.Write(p)
}

func (c *clientWriter) Flush() error {
	failpoint.Hit(failpoint.FramesWritten, "")
	err := c.rc.Flush()
	if c.disarm && err == nil {
		c.until = time.Time{}
		err = c.rc.SetWriteDeadline(c.until)
	}
	return err
}

// flushWriter is where a stream goes: Flush when nothing more is at hand.
type flushWriter interface {
	io.Writer
	Flush() error
}

// deliverer is a flushWriter that does both at less expense.
type deliverer interface{ deliver(p []byte) error }

func writeFlushed(w flushWriter, p []byte) error {
	if _, err := w.Write(p); err != nil {
		return err
	}
	return w.Flush()
}

// copyFrames passes the binary encoding through as it comes.
func copyFrames(w flushWriter, frames io.Reader) error {
	var idle [idleBuffer]byte
	for {
		n, err := frames.Read(idle[:])
		if n > 0 {
			if _, err := w.Write(idle[:n]); err != nil {
				return err
			}
		}
		if err == nil {
			err = w.Flush()
		}
		if err == nil && n == len(idle) {
			err = copyBusy(w, frames)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// copyBusy goes on while reads fill more than an idle stream's buffer.
func copyBusy(w flushWriter, frames io.Reader) error {
	buf := busy.Get().(*[busyBuffer]byte)
	defer busy.Put(buf)
	deliver := func(p []byte) error { return writeFlushed(w, p) }
	if d, ok := w.(deliverer); ok {
		deliver = d.deliver
	}
	for {
		n, err := frames.Read(buf[:])
		if n > 0 {
			if err := deliver(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil || n <= idleBuffer {
			return err
		}
	}
}
