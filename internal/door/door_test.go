package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// open serves h in a directory of its own until the test ends.
func open(t *testing.T, dir string, h Handler) {
	t.Helper()
	d, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, Name)); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
}

// shortDir is where a socket's path fits into its address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "door-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func echo(_ context.Context, r Request, who Peer) (any, error) {
	switch {
	case r.Kill != nil:
		return nil, fmt.Errorf("nobody is called %s\nand that is two lines", r.Kill.Subject)
	case r.Rotate != nil:
		panic("a mistake")
	case r.Sessions != nil:
		return strings.Repeat("x", MaxAnswer), nil
	}
	return who, nil
}

func TestAsk(t *testing.T) {
	long := filepath.Join(shortDir(t), strings.Repeat("long", 20), strings.Repeat("path", 20))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"short": shortDir(t), "long": long} {
		t.Run(name, func(t *testing.T) {
			// What an agent left that was killed is replaced.
			stale, err := Open(dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			stale.listener.Close()
			open(t, dir, echo)

			info, err := os.Stat(filepath.Join(dir, Name))
			if err != nil || info.Mode() != os.ModeSocket|0o600 {
				t.Errorf("the socket is %v: %v", info.Mode(), err)
			}
			var who Peer
			if err := Ask(t.Context(), dir, Request{Status: &Status{}}, &who); err != nil {
				t.Fatal(err)
			}
			if want := (Peer{PID: int32(os.Getpid()), UID: uint32(os.Getuid())}); who != want {
				t.Errorf("asked as %+v, want %+v", who, want)
			}
			for want, r := range map[string]Request{
				"nobody is called bob\nand that is two lines": {Kill: &Kill{Subject: "bob"}},
				"the agent failed at this":                    {Rotate: &Rotate{Step: "begin"}},
				"the answer is too long":                      {Sessions: &Sessions{}},
			} {
				var refused *Refused
				if err := Ask(t.Context(), dir, r, &who); !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
					t.Errorf("%+v: %v, want %q", r, err, want)
				}
			}
		})
	}
}

func TestNoAgent(t *testing.T) {
	dir := shortDir(t)
	if err := Ask(t.Context(), dir, Request{Status: &Status{}}, new(Peer)); !errors.Is(err, ErrNoAgent) {
		t.Errorf("no socket: %v", err)
	}
	d, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d.listener.Close()
	if err := Ask(t.Context(), dir, Request{Status: &Status{}}, new(Peer)); !errors.Is(err, ErrNoAgent) {
		t.Errorf("a socket that nobody serves: %v", err)
	}
}

// What is no request is answered with what is wrong, or not at all, and costs
// nobody else anything.
func TestNonsense(t *testing.T) {
	dir := shortDir(t)
	open(t, dir, echo)
	for line, want := range map[string]string{
		"\n":                                   "cannot be read",
		"GET / HTTP/1.1\r\n":                   "cannot be read",
		`{"version":2,"status":{}}` + "\n":     "restart the agent",
		`{"version":1}` + "\n":                 "one thing, not 0",
		`{"version":1,"kill":{}}` + "\n":       "which sessions",
		strings.Repeat("x", MaxRequest) + "\n": "",
		"no end of line":                       "",
	} {
		conn, err := net.Dial("unix", filepath.Join(dir, Name))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, line) // may be closed early
		_ = conn.(*net.UnixConn).CloseWrite()
		said, _ := io.ReadAll(conn)
		conn.Close()
		if want == "" && len(said) != 0 || !strings.Contains(string(said), want) {
			t.Errorf("%.40q: %q, want %q", line, said, want)
		}
	}
	if err := Ask(t.Context(), dir, Request{Status: &Status{}}, new(Peer)); err != nil {
		t.Error(err)
	}
}

// Another user is turned away even where the modes would let them in.
func TestStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it connects as another user")
	}
	dir := shortDir(t)
	open(t, dir, echo)
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, Name): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	said := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		const nobody = 65534
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			said <- errno
			return
		}
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			said <- err
			return
		}
		defer syscall.Close(fd)
		if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: filepath.Join(dir, Name)}); err != nil {
			said <- err
			return
		}
		_, _ = syscall.Write(fd, []byte(`{"version":1,"status":{}}`+"\n"))
		n, err := syscall.Read(fd, make([]byte, 100))
		if n > 0 {
			err = fmt.Errorf("%d bytes came back", n)
		}
		said <- err
	}()
	if err := <-said; err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

// A door that closes answers what it was asked.
func TestServeEnds(t *testing.T) {
	dir := shortDir(t)
	d, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- d.Serve(ctx, func(ctx context.Context, _ Request, _ Peer) (any, error) {
			cancel()
			<-ctx.Done()
			return "done", nil
		})
	}()
	var said string
	if err := Ask(t.Context(), dir, Request{Status: &Status{}}, &said); err != nil || said != "done" {
		t.Errorf("%q, %v", said, err)
	}
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Serve does not end")
	}
}
