package rawio_test

import (
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"shellagent/internal/rawio"
)

// A file comes with the last of the bytes that are read with it, in whatever pieces
// they were sent.
func TestRightsReader(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	from, to := os.NewFile(uintptr(fds[0]), "from"), os.NewFile(uintptr(fds[1]), "to")
	defer from.Close()
	defer to.Close()
	sent, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer sent.Close()
	if _, err := sent.WriteString("what the file says"); err != nil {
		t.Fatal(err)
	}
	if _, err := from.WriteString("before"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(fds[0], []byte{'!'}, unix.UnixRights(int(sent.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := from.WriteString("after"); err != nil {
		t.Fatal(err)
	}
	raw, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in := rawio.RightsReader{Raw: raw}
	var text []byte
	for file := (*os.File)(nil); file == nil; {
		buf := make([]byte, 4)
		var n int
		if n, file, err = in.Read(buf); err != nil {
			t.Fatal(err)
		}
		if text = append(text, buf[:n]...); file == nil {
			continue
		}
		defer file.Close()
		got := make([]byte, 100)
		if n, err := file.ReadAt(got, 0); string(got[:n]) != "what the file says" {
			t.Errorf("another file: %q, %v", got[:n], err)
		}
	}
	if string(text) != "before!" {
		t.Errorf("read %q with the file", text)
	}
	from.Close()
	rest := make([]byte, 100)
	if n, file, err := in.Read(rest); string(rest[:n]) != "after" || file != nil || err != nil {
		t.Errorf("%q, %v, %v", rest[:n], file, err)
	}
	if n, file, err := in.Read(rest); n != 0 || file != nil || err != io.EOF {
		t.Errorf("%d, %v, %v", n, file, err)
	}
}
