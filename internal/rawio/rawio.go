// Package rawio reads and writes descriptors that are in the runtime's poller and
// do not block, without telling the scheduler of each system call.
//
// A system call that the scheduler is told of wakes the runtime's monitor if the
// process was idle, a thread that then looks every 20 µs whether the call takes
// long, until the process is idle again. Where a process wakes up for a keystroke,
// that is as much as the keystroke's work; where it wakes up for each piece of a
// flood, a twentieth of it. What is not told of keeps its processor from other
// goroutines, so it is for what takes some microseconds.
package rawio

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// most is what the kernel is asked to take at once, in bytes: some 50 µs of copying.
const most = 256 << 10

// Conn is a connection that is read and written as the package says. Its other methods are the connection's. One goroutine may read it at a
// time, and one write.
type Conn struct {
	net.Conn
	in  Reader
	out writer
}

// NewConn returns c, to be used in its place: a [Conn] where c and the system
// allow it.
func NewConn(c net.Conn) net.Conn {
	s, ok := c.(syscall.Conn)
	if !ok || !supported {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	return &Conn{Conn: c, in: Reader{Raw: raw}, out: writer{raw: raw}}
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err != nil && err != io.EOF {
		err = c.failed("read", err)
	}
	return n, err
}

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = c.failed("write", err)
	}
	return n, err
}

// TryWrite is Write, but writes only what needs no waiting, which may be nothing.
// It is for what is small.
func (c *Conn) TryWrite(p []byte) (int, error) {
	c.out.once = true
	n, err := c.out.write(p)
	c.out.once = false
	return n, err
}

// failed is an error in the form that package net gives it.
func (c *Conn) failed(what string, err error) error {
	var e *net.OpError
	if errors.As(err, &e) {
		err = e.Err
	}
	return &net.OpError{Op: what, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Reader reads a descriptor. Its zero value with Raw set is ready, for one
// goroutine at a time.
type Reader struct {
	// Raw is the descriptor.
	Raw syscall.RawConn

	try func(fd uintptr) bool
	p   []byte
	n   int
	err error
}

var _ io.Reader = (*Reader)(nil)

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.try == nil {
		r.try = func(fd uintptr) (done bool) {
			r.n, done, r.err = read(fd, r.p)
			return done
		}
	}
	r.p, r.n, r.err = p, 0, nil
	err := r.Raw.Read(r.try)
	r.p = nil
	switch {
	case err != nil:
		return 0, err
	case r.err != nil:
		return 0, r.err
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// writer writes a descriptor.
type writer struct {
	raw syscall.RawConn

	try  func(fd uintptr) bool
	p    []byte
	n    int
	err  error
	once bool // it is not waited
}

func (w *writer) write(p []byte) (int, error) {
	if w.try == nil {
		w.try = w.attempt
	}
	w.p, w.n, w.err = p, 0, nil
	err := w.raw.Write(w.try)
	w.p = nil
	if err == nil {
		err = w.err
	}
	return w.n, err
}

// attempt writes until there is no room; it returns true when that is over.
func (w *writer) attempt(fd uintptr) bool {
	for w.n < len(w.p) {
		n, done, err := TryWrite(fd, w.p[w.n:min(len(w.p), w.n+most)])
		if w.err = err; err != nil {
			return true
		}
		if !done {
			return w.once
		}
		w.n += n
	}
	return true
}

// File is a file that does not block, such as a terminal that was opened so, read
// and written as the package says. One goroutine may read it at a time, and one
// write.
type File struct {
	file *os.File
	in   Reader
	out  writer
}

var _ io.ReadWriteCloser = (*File)(nil)

// NewFile returns f, to be used in its place: a [File] where the system allows it.
func NewFile(f *os.File) io.ReadWriteCloser {
	if !supported {
		return f
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return f
	}
	return &File{file: f, in: Reader{Raw: raw}, out: writer{raw: raw}}
}

// Read implements [io.Reader].
func (f *File) Read(p []byte) (int, error) { return f.in.Read(p) }

// Write implements [io.Writer].
func (f *File) Write(p []byte) (int, error) {
	return f.out.write(p)
}

// Close implements [io.Closer]. It wakes who reads or writes.
func (f *File) Close() error { return f.file.Close() }
