package process

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/bulk"
	"shellagent/internal/rawio"
	"shellagent/shell"
)

// output reads what a program writes, from a pty's master or from a pipe. One
// Read at a time.
type output struct {
	file *os.File
	conn syscall.RawConn

	// cut says that no more is waited for: what is there already is read.
	cut  atomic.Bool
	rest int // bytes read since

	in   rawio.Reader
	much bulk.Pipe
}

var _ shell.ReadinessWaiter = (*output)(nil)

func (o *output) open(f *os.File) (err error) {
	o.file = f
	o.conn, err = f.SyscallConn()
	o.in.Raw = o.conn
	return err
}

// maxRest is more than a terminal (64 KiB of buffers and a line) or a pipe that
// a user may make (1 MiB) holds: what was written is read, and a job that goes
// on writing is not followed.
const maxRest = 2 << 20

// cutOff makes the output end after what has been written by now, whoever
// still has the other end open.
func (o *output) cutOff() {
	o.cut.Store(true)
	_ = o.file.SetReadDeadline(time.Unix(1, 0)) // wakes who waits
}

// Read ends with io.EOF when nobody has the other end open any more, for which
// a terminal's kernel says EIO, when the output was cut off, or was closed.
func (o *output) Read(p []byte) (int, error) {
	if !o.cut.Load() {
		n, err := o.in.Read(p)
		o.much.Moved(n, o.file)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, endOfOutput(err)
		}
	}
	return o.readRest(p)
}

// readRest does not wait. The kernel looks through a terminal's buffers before
// it says that there is nothing, so nothing that was written before is missed.
func (o *output) readRest(p []byte) (n int, err error) {
	if o.rest >= maxRest || len(p) == 0 {
		return 0, io.EOF
	}
	closed := o.conn.Control(func(fd uintptr) {
		for {
			if n, err = unix.Read(int(fd), p); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	})
	if closed != nil || n <= 0 && (err == nil || errors.Is(err, unix.EAGAIN)) {
		return 0, io.EOF
	}
	n = max(n, 0)
	o.rest += n
	return n, endOfOutput(err)
}

func endOfOutput(err error) error {
	if errors.Is(err, syscall.EIO) || errors.Is(err, os.ErrClosed) {
		return io.EOF
	}
	return err
}

// WaitReadable implements [shell.ReadinessWaiter].
func (o *output) WaitReadable() error {
	err := waitReadable(o.conn)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // cut off: a Read says what is left
	}
	return io.EOF // closed
}

// waitReadable blocks in the runtime's poller until a read would not block. An
// error is os.ErrDeadlineExceeded, or says that the file is closed.
func waitReadable(conn syscall.RawConn) error { return conn.Read(readable) }

// readable is asked again by the poller's next event when it says no.
func readable(fd uintptr) bool {
	return rawio.Readable(fd)
}
