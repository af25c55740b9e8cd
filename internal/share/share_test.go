//go:build linux || darwin

package share

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a session that gives its input back, and exits with 5 at its end.
type echo struct {
	mu       sync.Mutex
	output   chan shell.Frame
	end      uint64
	acked    uint64
	sizes    []shell.Winsize
	signals  []string
	closed   bool
	detached bool
}

func newEcho() *echo { return &echo{output: make(chan shell.Frame, 1<<10)} }

func (e *echo) Info() shell.SessionInfo {
	return shell.SessionInfo{ID: "echo", Source: "debug", Linger: 60000}
}

func (e *echo) Next(ctx context.Context) (shell.Frame, error) {
	select {
	case f := <-e.output:
		if f.Type == 0 {
			return f, io.ErrNoProgress
		}
		return f, nil
	case <-ctx.Done():
		return shell.Frame{}, context.Cause(ctx)
	}
}

func (e *echo) emit(t shell.FrameType, data string) {
	e.mu.Lock()
	e.end += t.Width(len(data))
	f := shell.Frame{Type: t, End: e.end, Data: []byte(data)}
	e.mu.Unlock()
	e.output <- f
}

func (e *echo) Write(p []byte) (int, error) {
	for piece := range slices.Chunk(p, shell.MaxFrameData) {
		e.emit(shell.FrameStdout, string(piece))
	}
	return len(p), nil
}

func (e *echo) CloseWrite() error {
	e.emit(shell.FrameExit, `{"code":5}`)
	return nil
}

func (e *echo) note(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *echo) Resize(w shell.Winsize) { e.note(func() { e.sizes = append(e.sizes, w) }) }
func (e *echo) Redraw(w shell.Winsize) { e.Resize(w) }
func (e *echo) Ack(end uint64)         { e.note(func() { e.acked = end }) }
func (e *echo) Signal(n string) error {
	e.note(func() { e.signals = append(e.signals, n) })
	return nil
}
func (e *echo) Suspend() bool { return true }
func (e *echo) Continue()     {}
func (e *echo) Detach() error { e.note(func() { e.detached = true }); return nil }
func (e *echo) Close() error  { e.note(func() { e.closed = true }); return nil }

func (e *echo) is(f func() bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return f()
}

// stage is a holder whose sessions are echoes.
type stage struct {
	t      *testing.T
	place  Place
	holder *Holder
	opened chan *echo
	served chan error
	cancel context.CancelFunc
}

func newStage(t *testing.T, idle time.Duration, sessions int) *stage {
	t.Helper()
	dir := shortDir(t)
	place, err := PlaceOf(dir, "a", "target")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Claim(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, place: place, opened: make(chan *echo, 10), served: make(chan error, 1)}
	s.holder = NewHolder(HolderConfig{
		Target: "target", Idle: idle, Sessions: sessions,
		Open: func(ctx context.Context, a Ask, v Voice) (Session, error) {
			switch a.Source {
			case "refused":
				return nil, errors.New("refused")
			case "slow":
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			v.Say(LevelNote, "hello")
			e := newEcho()
			s.opened <- e
			return e, nil
		},
		Explain: func(err error, _ Session) Failure { return Failure{Code: 255, Lines: []string{err.Error()}} },
		Forward: func(_ context.Context, a Ask) ([]int, error) {
			if a.Source == "refused" {
				return nil, errors.New("refused")
			}
			return []int{len(a.Forwards), len(a.Do)}, nil
		},
		Forwards: func() []string { return []string{"-L 1:h:2"} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.served <- s.holder.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); s.await() })
	return s
}

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "share")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *stage) await() error {
	s.t.Helper()
	select {
	case err := <-s.served:
		s.served <- err
		return err
	case <-time.After(10 * time.Second):
		s.t.Fatal("the holder does not end")
		return nil
	}
}

func (s *stage) open(source string) (*Remote, error) {
	s.t.Helper()
	c, err := Dial(s.place)
	if err != nil {
		return nil, err
	}
	return c.Open(s.t.Context(), Ask{Source: source}, Listening{Said: func(Level, string) {}, Outage: func(bool) {}})
}

func (s *stage) mustOpen() (*Remote, *echo) {
	s.t.Helper()
	r, err := s.open("debug")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = r.Close() })
	return r, <-s.opened
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
		<-tick.C
	}
}

func TestSessionThroughAHolder(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	r, e := s.mustOpen()
	if r.Info().ID != "echo" {
		t.Errorf("info %+v", r.Info())
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // several windows
	go func() {
		if _, err := r.Write(want); err != nil {
			t.Error(err)
		}
		_ = r.CloseWrite()
	}()
	var got []byte
	for {
		f, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == shell.FrameExit {
			if string(f.Data) != `{"code":5}` {
				t.Errorf("exit %s", f.Data)
			}
			r.Ack(f.End)
			break
		}
		got = append(got, f.Data...)
		r.Ack(f.End)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back, %d were sent", len(got), len(want))
	}
	if _, err := r.Next(t.Context()); err != io.EOF {
		t.Errorf("after the exit: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	end := uint64(len(want)) + 1
	eventually(t, "the exit's acknowledgement and the end", func() bool { return e.is(func() bool { return e.acked == end && e.closed }) })
}

func TestHolderHearsTheGuest(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	r, e := s.mustOpen()
	size := shell.Winsize{Cols: 90, Rows: 20}
	r.Resize(size)
	if err := r.Signal("INT"); err != nil {
		t.Error(err)
	}
	if !r.Suspend() {
		t.Error("the suspension was not told")
	}
	r.Continue()
	if err := r.Detach(); err != nil {
		t.Error(err)
	}
	if !e.is(func() bool {
		return e.detached && !e.closed && len(e.sizes) == 1 && e.sizes[0] == size && slices.Equal(e.signals, []string{"INT"})
	}) {
		t.Errorf("%+v", e)
	}
}

func TestGuestThatVanishesLeavesItsSession(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	r, e := s.mustOpen()
	r.conn.Close()
	eventually(t, "the session to be detached", func() bool { return e.is(func() bool { return e.detached && !e.closed }) })
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrHolderGone) {
		t.Errorf("%v", err)
	}
}

func TestHolderThatEndsHangsUp(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	r, e := s.mustOpen()
	s.cancel()
	_, err := r.Next(t.Context())
	var f *Failure
	if !errors.As(err, &f) || f.Code != 255 || !strings.Contains(f.Lines[0], "was ended") {
		t.Errorf("%v", err)
	}
	s.await()
	if !e.is(func() bool { return e.closed }) {
		t.Error("the session goes on")
	}
}

func TestStop(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	r, _ := s.mustOpen()
	c, err := Dial(s.place)
	if err != nil {
		t.Fatal(err)
	}
	status, err := c.Status(DoStop)
	if err != nil || !status.Stopping || len(status.Sessions) != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	eventually(t, "the socket to go", func() bool {
		_, err := os.Stat(s.place.Socket)
		return errors.Is(err, os.ErrNotExist)
	})
	if _, err := s.open("debug"); !errors.Is(err, ErrNobody) {
		t.Errorf("a stopped holder takes a guest: %v", err)
	}
	if _, err := r.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if f, err := r.Next(t.Context()); err != nil || string(f.Data) != "x" {
		t.Errorf("%q, %v", f.Data, err)
	}
	_ = r.Close()
	if err := s.await(); err != nil {
		t.Error(err)
	}
}

func TestExit(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	r, e := s.mustOpen()
	c, err := Dial(s.place)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(DoExit); err != nil {
		t.Error(err)
	}
	var f *Failure
	if _, err := r.Next(t.Context()); !errors.As(err, &f) {
		t.Errorf("%v", err)
	}
	if err := s.await(); err != nil || !e.is(func() bool { return e.closed }) {
		t.Errorf("%v, %+v", err, e)
	}
}

func TestIdleHolderEnds(t *testing.T) {
	s := newStage(t, 50*time.Millisecond, 0)
	r, _ := s.mustOpen()
	_ = r.Close()
	if err := s.await(); err != nil {
		t.Error(err)
	}
}

func TestHolderRefuses(t *testing.T) {
	s := newStage(t, time.Minute, 1)
	_, err := s.open("refused")
	var f *Failure
	if !errors.As(err, &f) || f.Lines[0] != "refused" || f.Full {
		t.Errorf("%v", err)
	}
	eventually(t, "the place of the refused one to be free", func() bool { return s.holder.Status().Opened == 1 })
	var r *Remote
	eventually(t, "a session", func() bool {
		r, err = s.open("debug")
		return err == nil
	})
	defer r.Close()
	if _, err := s.open("debug"); !errors.As(err, &f) || !f.Full {
		t.Errorf("one more than may be: %v", err)
	}
}

func TestOpeningIsGivenUp(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	c, err := Dial(s.place)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
	if _, err := c.Open(ctx, Ask{Source: "slow"}, Listening{}); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestStrangersAtTheSocket(t *testing.T) {
	s := newStage(t, time.Minute, 0)
	for _, said := range []string{
		"GET / HTTP/1.1\r\n\r\n", "agent/2\nxxxxxxxxxxxxxx", greeting + "w\x00\x00\x00\x00", greeting + "q\xff\xff\xff\xff",
		greeting + "q\x00\x00\x00\x01{", greeting + "q\x00\x00\x00\x0c" + `{"do":"dig"}`,
	} {
		c, err := net.Dial("unix", s.place.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, said); err != nil {
			t.Error(err)
		}
		answer, _ := io.ReadAll(c)
		c.Close()
		if !strings.HasPrefix(string(answer), greeting) || bytes.Contains(answer, []byte("hello")) {
			t.Errorf("%q was answered with %q", said, answer)
		}
	}
	if len(s.opened) != 0 {
		t.Error("a stranger opened a session")
	}
}

func TestAnotherVersionIsNotUsed(t *testing.T) {
	place, err := PlaceOf(shortDir(t), "x")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", place.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for _, says := range []string{"agent/9\n", ""} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, says)
			c.Close()
		}
	}()
	for _, want := range []error{ErrVersion, ErrUntouched} {
		c, err := Dial(place)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open(t.Context(), Ask{}, Listening{}); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestJoinStartsOne(t *testing.T) {
	place, err := PlaceOf(shortDir(t), "y")
	if err != nil {
		t.Fatal(err)
	}
	// A socket that nobody listens on any more.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: place.Socket})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	var mu sync.Mutex
	starts := 0
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	start := func(context.Context, *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		starts++
		l, err := Listen(place)
		if err != nil {
			return err
		}
		go func() { served <- NewHolder(HolderConfig{}).Serve(ctx, l) }()
		return nil
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			c, err := Join(t.Context(), place, start)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Status(DoStatus); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	cancel()
	<-served
	if starts != 1 {
		t.Errorf("%d were started, want 1", starts)
	}
	info, err := os.Stat(place.lock())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestPlaces(t *testing.T) {
	dir := shortDir(t)
	t.Setenv("HOME", dir)
	got, err := Dir(func(string) string { return "" })
	if err != nil || got != filepath.Join(dir, ".cache", "shellagent-share") {
		t.Fatalf("%s, %v", got, err)
	}
	for _, mode := range []os.FileMode{0o701, 0o770, 0o707} {
		if err := os.Chmod(got, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Dir(func(string) string { return "" }); !errors.Is(err, ErrUnsafe) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Remove(got); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, got); err != nil {
		t.Fatal(err)
	}
	if _, err := Dir(func(string) string { return "" }); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a symbolic link: %v", err)
	}
	a, _ := PlaceOf(dir, "ab", "c")
	if b, _ := PlaceOf(dir, "a", "bc"); a == b {
		t.Error("other settings meet at the same place")
	}
	if _, err := PlaceOf("/" + strings.Repeat("x", 100)); err == nil {
		t.Error("a path that no socket can have")
	}
}
