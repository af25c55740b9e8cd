//go:build linux

package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/internal/forward"
	"shellagent/internal/sshargs"
)

// places are pairs of where something listens and where that leads.
func places(t *testing.T) map[string]sshargs.Forward {
	dir := t.TempDir()
	overTCP := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	overUnix := endpoint(echoes(t, "unix", filepath.Join(dir, "echo")))
	return map[string]sshargs.Forward{
		"TCP to TCP":   {Listen: sshargs.Endpoint{}, Connect: overTCP},
		"TCP to Unix":  {Listen: sshargs.Endpoint{Host: "127.0.0.1"}, Connect: overUnix},
		"Unix to TCP":  {Listen: sshargs.Endpoint{Path: filepath.Join(dir, "a")}, Connect: overTCP},
		"Unix to Unix": {Listen: sshargs.Endpoint{Path: filepath.Join(dir, "b")}, Connect: overUnix},
	}
}

func TestLocal(t *testing.T) {
	for name, f := range places(t) {
		t.Run(name, func(t *testing.T) {
			s, told := newSet(t, Config{})
			at, err := s.Local(f)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, dial(t, at), strings.Repeat("much ", 100_000))
			if closed := told.await(t, Closed); closed.Sent != 500_000 || closed.Received != 500_005 || closed.Err != nil || closed.ID != 1 || closed.To != f.Connect.String() {
				t.Errorf("told of %+v", closed)
			}
			if err := s.Wait(t.Context()); err != nil || len(s.Connections()) != 0 {
				t.Errorf("afterwards there are %v, %v", s.Connections(), err)
			}
		})
	}
}

func TestRemote(t *testing.T) {
	for name, f := range places(t) {
		t.Run(name, func(t *testing.T) {
			s, told := newSet(t, Config{})
			at, err := s.Remote(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, dial(t, at), strings.Repeat("much ", 100_000))
			if closed := told.await(t, Closed); closed.Sent != 500_005 || closed.Received != 500_000 || closed.Err != nil {
				t.Errorf("told of %+v", closed)
			}
		})
	}
}

// request is what clients of SOCKS say.
func request(version int, to sshargs.Endpoint) (say, told string) {
	port := string([]byte{byte(to.Port >> 8), byte(to.Port)})
	switch version {
	case 4:
		return "\x04\x01" + port + "\x7f\x00\x00\x01\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00"
	case 5:
		return "\x05\x01\x00\x05\x01\x00\x03" + string(rune(len(to.Host))) + to.Host + port, "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	}
	return "\x04\x01" + port + "\x00\x00\x00\x01me\x00" + to.Host + "\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00"
}

func TestDynamic(t *testing.T) {
	to := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	for name, listen := range map[string]func(*Set) (sshargs.Endpoint, error){
		"here":  func(s *Set) (sshargs.Endpoint, error) { return s.Local(sshargs.Forward{}) },
		"there": func(s *Set) (sshargs.Endpoint, error) { return s.Remote(t.Context(), sshargs.Forward{}) },
	} {
		t.Run(name, func(t *testing.T) {
			s, told := newSet(t, Config{})
			at, err := listen(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, version := range []int{4, 41, 5} {
				say, want := request(version, to)
				conn := dial(t, at)
				_, _ = io.WriteString(conn, say)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
					t.Fatalf("SOCKS %d is told % x, %v", version, got, err)
				}
				exchange(t, conn, "hello")
			}
			if closed := told.await(t, Closed); closed.To != to.String() {
				t.Errorf("told of %+v", closed)
			}
			conn := dial(t, at)
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
			if _, err := io.ReadAll(conn); err != nil && !isReset(err) {
				t.Error(err)
			}
			if failed := told.await(t, Failed); failed.Err == nil || failed.To != "" {
				t.Errorf("told of %+v", failed)
			}
		})
	}
}

// Where connections may lead that come from there is said here.
func TestPermit(t *testing.T) {
	to := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	other := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	s, told := newSet(t, Config{Permit: sshargs.Permit{to}})
	at, err := s.Remote(t.Context(), sshargs.Forward{})
	if err != nil {
		t.Fatal(err)
	}
	say, want := request(5, to)
	conn := dial(t, at)
	_, _ = io.WriteString(conn, say)
	if _, err := io.ReadFull(conn, make([]byte, len(want))); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, "hello")
	conn = dial(t, at)
	say, _ = request(5, other)
	_, _ = io.WriteString(conn, say)
	if got, err := io.ReadAll(conn); err != nil && !isReset(err) || len(got) < 4 || got[3] != 2 {
		t.Errorf("SOCKS is told % x, %v", got, err)
	}
	if failed := told.await(t, Failed); failed.To != other.String() {
		t.Errorf("told of %+v", failed)
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }

// Why something fails is told to the person, and to a client of SOCKS.
func TestRefusals(t *testing.T) {
	gone := echoes(t, "tcp", "127.0.0.1:0")
	nobody := endpoint(gone)
	gone.Close()
	for _, test := range []struct {
		to   sshargs.Endpoint
		code forward.Code
		rep  byte
	}{
		{sshargs.Endpoint{Host: "denied.example", Port: 80}, forward.CodeDenied, 2},
		{nobody, forward.CodeRefused, 5},
	} {
		s, told := newSet(t, Config{})
		at, err := s.Local(sshargs.Forward{Connect: test.to})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(dial(t, at)); len(got) > 0 || err != nil && !isReset(err) {
			t.Errorf("%s: %q, %v", test.to, got, err)
		}
		failed := told.await(t, Failed)
		var refusal *forward.Refusal
		if !errors.As(failed.Err, &refusal) || refusal.Code != test.code || failed.To != test.to.String() {
			t.Errorf("%s: told of %+v", test.to, failed)
		}
		if at, err = s.Local(sshargs.Forward{}); err != nil {
			t.Fatal(err)
		}
		conn := dial(t, at)
		say, _ := request(5, test.to)
		_, _ = io.WriteString(conn, say)
		if got, err := io.ReadAll(conn); err != nil && !isReset(err) || len(got) < 4 || got[3] != test.rep {
			t.Errorf("%s: SOCKS is told % x, %v", test.to, got, err)
		}
	}
	s, _ := newSet(t, Config{})
	var refusal *forward.Refusal
	if _, err := s.Remote(t.Context(), sshargs.Forward{Listen: sshargs.Endpoint{Path: "/tmp/denied"}, Connect: nobody}); !errors.As(err, &refusal) || refusal.Code != forward.CodeDenied {
		t.Errorf("listening there: %v", err)
	}
}

// What came in there and leads to nothing here ends, and is told.
func TestRemoteToNothing(t *testing.T) {
	gone := echoes(t, "tcp", "127.0.0.1:0")
	gone.Close()
	s, told := newSet(t, Config{})
	at, err := s.Remote(t.Context(), sshargs.Forward{Connect: endpoint(gone)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port)))
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || err != io.EOF && !isReset(err) {
		t.Errorf("it answers with %v", err)
	}
	if failed := told.await(t, Failed); failed.Err == nil || failed.From == "" {
		t.Errorf("told of %+v", failed)
	}
}

func TestListenHere(t *testing.T) {
	to := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	dir := t.TempDir()
	s, _ := newSet(t, Config{Gateway: true})
	at, err := s.Local(sshargs.Forward{Connect: to})
	if err != nil || at.Host != "*" {
		t.Errorf("as a gateway it listens on %v, %v", at, err)
	}
	s, _ = newSet(t, Config{Mask: 0o117})
	if at, err = s.Local(sshargs.Forward{Connect: to}); err != nil || at.Host != "localhost" {
		t.Errorf("it listens on %v, %v", at, err)
	}
	at.Host = "127.0.0.1"
	if _, err := s.Local(sshargs.Forward{Listen: at, Connect: to}); err == nil || !strings.Contains(err.Error(), "cannot listen on 127.0.0.1:") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("where something listens: %v", err)
	}
	socket := sshargs.Endpoint{Path: filepath.Join(dir, "s")}
	if _, err = s.Local(sshargs.Forward{Listen: socket, Connect: to}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket.Path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	if _, err = s.Local(sshargs.Forward{Listen: socket, Connect: to}); err == nil {
		t.Error("it replaces a socket without being told to")
	}
	s, _ = newSet(t, Config{Unlink: true})
	if _, err = s.Local(sshargs.Forward{Listen: socket, Connect: to}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(socket.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Local(sshargs.Forward{Listen: sshargs.Endpoint{Path: file}, Connect: to}); err == nil {
		t.Error("it replaces a file")
	}
}

func TestThousandAtOnce(t *testing.T) {
	const many = 1000
	to := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	s, _ := newSet(t, Config{})
	at, err := s.Local(sshargs.Forward{Connect: to})
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, many)
	for i := range conns {
		conns[i] = dial(t, at)
	}
	var all sync.WaitGroup
	for _, conn := range conns {
		all.Go(func() {
			if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(s.Connections()); n != many {
		t.Errorf("%d are open, want %d", n, many)
	}
	for _, conn := range conns {
		all.Go(func() {
			_, _ = io.WriteString(conn, strings.Repeat("x", 10_000))
			_ = conn.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(conn); err != nil || len(got) != 10_000 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// A connection whose end reads nothing holds up no other.
func TestBackPressure(t *testing.T) {
	to := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	s, _ := newSet(t, Config{})
	at, err := s.Local(sshargs.Forward{Connect: to})
	if err != nil {
		t.Fatal(err)
	}
	slow := dial(t, at)
	_ = slow.SetWriteDeadline(time.Now().Add(time.Second))
	sent := 0
	for chunk := make([]byte, 64<<10); sent < 256<<20; {
		n, err := slow.Write(chunk)
		if sent += n; err != nil {
			break // nobody takes more
		}
	}
	if sent >= 256<<20 {
		t.Error("a connection that nobody reads takes anything")
	}
	exchange(t, dial(t, at), "hello")
}

func TestWaitEnds(t *testing.T) {
	to := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	s, told := newSet(t, Config{})
	at, err := s.Local(sshargs.Forward{Connect: to})
	if err != nil {
		t.Fatal(err)
	}
	dial(t, at)
	told.await(t, Opened)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("somebody wants to leave")
	cancel(why)
	if err := s.Wait(ctx); !errors.Is(err, why) {
		t.Errorf("waiting ends with %v", err)
	}
	s.link.mux.Close()
	if err := s.Wait(t.Context()); err != nil && !errors.Is(err, ErrOver) {
		t.Errorf("without a link it ends with %v", err)
	}
}

// closable is a stream of this program.
type closable struct {
	bytes.Buffer
	closed bool
}

func (c *closable) Close() error { c.closed = true; return nil }

func TestStdio(t *testing.T) {
	to := endpoint(echoes(t, "tcp", "127.0.0.1:0"))
	s, _ := newSet(t, Config{})
	var out closable
	if err := s.Stdio(t.Context(), to, strings.NewReader("hello"), &out); err != nil || out.String() != "echo:hello" || !out.closed {
		t.Errorf("it brings %q, %v", out.String(), err)
	}
	var refusal *forward.Refusal
	if err := s.Stdio(t.Context(), sshargs.Endpoint{Host: "denied", Port: 1}, strings.NewReader(""), &out); !errors.As(err, &refusal) {
		t.Errorf("what is denied: %v", err)
	}
	in, wait := io.Pipe()
	defer wait.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("somebody wants to leave")
	cancel(why)
	if err := s.Stdio(ctx, to, in, &out); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

// Whatever is sent before the end arrives, although nobody waits for an answer.
func TestLastWords(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan int, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).CloseWrite()
		n, _ := io.Copy(io.Discard, conn)
		got <- int(n)
	}()
	s, _ := newSet(t, Config{})
	const much = 200_000 // less than a window, so that nothing waits for the reader
	if err := s.Stdio(t.Context(), endpoint(l), strings.NewReader(strings.Repeat("x", much)), &closable{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != much {
		t.Errorf("%d bytes arrive, want %d", n, much)
	}
}
