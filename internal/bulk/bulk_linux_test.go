//go:build linux

package bulk_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"shellagent/internal/bulk"
)

// sizes notes how large the writes are that arrive.
type sizes struct {
	bytes.Buffer
	each []int
	fail error
}

func (s *sizes) Write(p []byte) (int, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	s.each = append(s.each, len(p))
	return s.Buffer.Write(p)
}

func TestWriterMakesOneWriteOfMany(t *testing.T) {
	to := &sizes{}
	w := &bulk.Writer{To: to}
	record := bytes.Repeat([]byte{1}, 16406)
	var want bytes.Buffer
	write := func(p []byte) {
		t.Helper()
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		want.Write(p)
	}
	write([]byte("at once"))
	w.Hold()
	for range 20 {
		write(record)
	}
	write(make([]byte, 100_000)) // more than is kept
	write([]byte("end"))
	if err := w.Release(); err != nil {
		t.Fatal(err)
	}
	write([]byte("at once again"))
	if !bytes.Equal(to.Bytes(), want.Bytes()) {
		t.Fatal("what arrived is not what was written")
	}
	if len(to.each) > 8 || to.each[0] != 7 || to.each[len(to.each)-1] != 13 {
		t.Errorf("writes of %v bytes", to.each)
	}
}

// What is kept back is lost with the connection: nothing may follow it.
func TestWriterKeepsItsError(t *testing.T) {
	gone := errors.New("gone")
	to := &sizes{fail: gone}
	w := &bulk.Writer{To: to}
	w.Hold()
	if _, err := w.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	if err := w.Release(); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	to.fail = nil
	if _, err := w.Write([]byte("after")); !errors.Is(err, gone) || to.Len() > 0 {
		t.Errorf("%v, and %q was written", err, &to.Buffer)
	}
}

// pipe is one, with its reading end's descriptor.
func pipe(t *testing.T) (r, w *os.File, raw syscall.RawConn) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	if raw, err = r.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	return r, w, raw
}

func TestReaderReadsAllAndEnds(t *testing.T) {
	r, w, raw := pipe(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	go func() {
		for at := 0; at < len(data); at += 32 << 10 {
			w.Write(data[at : at+32<<10])
		}
		w.Close()
	}()
	got, err := io.ReadAll(&bulk.Reader{From: r, Raw: raw})
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
	}
}

// A deadline ends a read also while the thread waits by itself.
func TestReaderKeepsDeadlines(t *testing.T) {
	r, w, raw := pipe(t)
	in := &bulk.Reader{From: r, Raw: raw}
	if _, err := w.Write(make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	if n, err := in.Read(make([]byte, 64<<10)); n != 32<<10 || err != nil {
		t.Fatal(n, err)
	}
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// waits counts how often the thread waited by itself.
type waits struct {
	syscall.RawConn
	n int
}

func (w *waits) Read(f func(fd uintptr) bool) error {
	w.n++
	return w.RawConn.Read(f)
}

// Where a read filled its buffer there is more, and nothing to wait for.
func TestReaderWaitsOnlyAfterItReadEverything(t *testing.T) {
	r, w, raw := pipe(t)
	counted := &waits{RawConn: raw}
	in := &bulk.Reader{From: r, Raw: counted}
	if _, err := w.Write(make([]byte, 48<<10)); err != nil {
		t.Fatal(err)
	}
	for _, read := range []struct{ room, got, waits int }{
		{16 << 10, 16 << 10, 0}, // was not busy
		{16 << 10, 16 << 10, 0}, // was full
		{32 << 10, 16 << 10, 0}, // was full
	} {
		if n, err := in.Read(make([]byte, read.room)); n != read.got || err != nil || counted.n != read.waits {
			t.Errorf("%d bytes, %v, after %d waits; want %+v", n, err, counted.n, read)
		}
	}
	if _, err := w.Write([]byte("a little")); err != nil {
		t.Fatal(err)
	}
	if n, err := in.Read(make([]byte, 100)); n != 8 || err != nil || counted.n != 1 {
		t.Errorf("%d bytes, %v, after %d waits, which should be 1", n, err, counted.n)
	}
}

// Who shares the processor is never kept waiting for what comes next.
func TestSharedReaderDoesNotWait(t *testing.T) {
	r, w, raw := pipe(t)
	counted := &waits{RawConn: raw}
	in := &bulk.Reader{From: r, Raw: counted, Shared: true}
	for range 3 {
		if _, err := w.Write(make([]byte, 32<<10)); err != nil {
			t.Fatal(err)
		}
		if n, err := in.Read(make([]byte, 64<<10)); n != 32<<10 || err != nil || counted.n != 0 {
			t.Errorf("%d bytes, %v, after %d waits", n, err, counted.n)
		}
	}
}

func TestPipeHoldsMoreOnceThereIsMuch(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	size := func() int {
		n, _, _ := syscall.Syscall(syscall.SYS_FCNTL, r.Fd(), 1032 /* F_GETPIPE_SZ */, 0)
		return int(n)
	}
	var p bulk.Pipe
	before := size()
	p.Moved(1000, w)
	if got := size(); got != before {
		t.Errorf("%d bytes after a little, %d before", got, before)
	}
	p.Moved(1<<20, w)
	if got := size(); got < before {
		t.Errorf("%d bytes after much, %d before", got, before)
	}
	if os.Getuid() == 0 && size() <= before {
		t.Error("the pipe holds no more")
	}
	p.Moved(1<<20, os.Stdin) // whatever it is
}
