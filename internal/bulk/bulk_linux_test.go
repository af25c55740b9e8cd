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

func TestReaderReadsAllAndEnds(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := syscall.SetNonblock(int(r.Fd()), true); err != nil {
		t.Fatal(err)
	}
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
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
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in := &bulk.Reader{From: r, Raw: raw}
	if _, err := w.Write(make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	if n, err := in.Read(make([]byte, 32<<10)); n != 32<<10 || err != nil {
		t.Fatal(n, err)
	}
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
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
