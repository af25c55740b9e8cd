package driver

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// read waits for output until the client's context ends.
func (c *Client) read(p []byte) (int, error) {
	deadline, ok := c.ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(24 * time.Hour)
	}
	n, err := c.readBefore(p, deadline)
	if errors.Is(err, os.ErrDeadlineExceeded) && ok {
		<-c.ctx.Done() // at any moment now
		err = context.Cause(c.ctx)
	}
	return n, err
}

// readBefore reads what is there as soon as something is. It polls by itself:
// the time between the arrival of a byte and Go's poller would be measured too.
func (c *Client) readBefore(p []byte, deadline time.Time) (int, error) {
	fd := int(c.out.Fd())
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, int(left.Milliseconds())+1)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && n == 0:
			continue
		case err != nil:
			return 0, err
		}
		got, err := unix.Read(fd, p)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return 0, err
		case got == 0:
			return 0, io.EOF
		}
		if len(p[:got]) >= tailSize {
			c.tail = append(c.tail[:0], p[got-tailSize:got]...)
		} else if c.tail = append(c.tail, p[:got]...); len(c.tail) > tailSize {
			c.tail = append(c.tail[:0], c.tail[len(c.tail)-tailSize:]...)
		}
		return got, nil
	}
}
