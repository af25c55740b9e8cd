package shellhttp

import (
	"errors"
	"io"
	"os"
	"time"
)

// Times that a request body has. The largest is 1 MiB, so 35 KB/s is enough;
// clients size their bodies to take a second.
const (
	bodyTime     = 30 * time.Second // the whole body, from the first read
	bodyProgress = 10 * time.Second // the next byte of it
	// drainTime is what an unread rest of a body gets before its connection is
	// closed: a client that sends before it reads shall still see the answer.
	drainTime = time.Second
)

// readTimer is what a body's times are kept with: a connection, or a controller of it.
type readTimer interface{ SetReadDeadline(time.Time) error }

// body yields exactly a request's body, as it arrives and within its times.
// It is for one reader.
type body struct {
	src   io.Reader
	rc    readTimer
	left  int
	total time.Duration
	step  time.Duration
	until time.Time
	// deadline is what the connection has now.
	deadline time.Time
	late     bool // the body did not arrive in time
	gone     bool // the client went away within it
}

// Read reads on. It never reads ahead: what the broker has not asked for stays
// in the kernel.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	now := time.Now()
	if b.until.IsZero() {
		b.until = now.Add(b.total)
	}
	deadline := now.Add(b.step)
	if b.until.Before(deadline) {
		deadline = b.until
	}
	// Moving a deadline costs more than a small read, so it is moved when a
	// tenth of it is spent.
	if deadline.Sub(b.deadline) > b.step/10 {
		b.deadline = deadline
		if err := b.rc.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
	}
	n, err := b.src.Read(p[:min(len(p), b.left)])
	b.left -= n
	if b.left == 0 {
		// From here on the server reads only to notice that the client is gone:
		// a deadline left behind would end the stream.
		b.rc.SetReadDeadline(time.Time{})
		return n, nil
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.late = true
	case err != nil:
		b.gone = true
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// finish bounds what the server may spend on a body that nobody wanted. It
// reports whether there was one.
func (b *body) finish() bool {
	if b.left == 0 {
		return false
	}
	b.rc.SetReadDeadline(time.Now().Add(drainTime))
	return true
}
