package rawio_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/rawio"
)

// A pipe that is opened again does not block there, and blocks where it did.
func TestPipeIsOpenedAgain(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer r.Close()
	again, err := rawio.OpenAgain(r, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the pipe's first description has flags %#o, %v", flags, err)
	}
	if err := again.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	in := rawio.NewFile(again)
	if n, err := in.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an empty pipe: %d, %v", n, err)
	}
	if err := again.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 20<<10) // more than it holds
	go func() {
		defer w.Close()
		w.Write(data)
	}()
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestSocketIsNotOpenedAgain(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	s := os.NewFile(uintptr(fds[0]), "socket")
	defer s.Close()
	if again, err := rawio.OpenAgain(s, os.O_RDONLY); err == nil {
		again.Close()
		t.Error("it was opened")
	}
}
