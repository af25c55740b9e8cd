package forwardd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"shellagent/internal/forward"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// rules is a [Decider] for tests: what is nil allows everything.
type rules struct {
	ask func(Question) (Permit, error)

	mu    sync.Mutex
	asked []Question
	ended []End
	ends  chan End
}

func (r *rules) Ask(_ context.Context, q Question) (Permit, error) {
	r.mu.Lock()
	r.asked = append(r.asked, q)
	r.mu.Unlock()
	if r.ask != nil {
		return r.ask(q)
	}
	return Permit{Lookup: q.Host != "" && q.Host != "*" && q.Addresses == nil, Addresses: q.Addresses}, nil
}

func (r *rules) Ended(_ Question, e End) {
	r.mu.Lock()
	r.ended = append(r.ended, e)
	r.mu.Unlock()
	select {
	case r.ends <- e:
	default:
	}
}

func (r *rules) questions() []Question {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

var denied = &forward.Refusal{Code: forward.CodeDenied, Detail: "not here"}

// serve runs a server in this process and returns its client's end.
func serve(t *testing.T, r *rules) *forward.Mux {
	t.Helper()
	r.ends = make(chan End, 10000)
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := Serve(context.Background(), b, r); err != nil {
			t.Error(err)
		}
	}()
	client, err := forward.NewClient(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("the server does not end")
		}
	})
	return client
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func code(err error) forward.Code {
	var r *forward.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// echoes returns the port of a server that sends back what it gets.
func echoes(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				io.Copy(c, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); wait.Wait() })
	return l
}

func tcpPort(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }

func exchange(t *testing.T, s interface {
	io.ReadWriter
	CloseWrite() error
}) {
	t.Helper()
	if _, err := io.WriteString(s, "ping"); err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "ping" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestOpenTCP(t *testing.T) {
	r := &rules{}
	client := serve(t, r)
	port := tcpPort(echoes(t, "tcp", "127.0.0.1:0"))
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST.", "0.0.0.0", "::ffff:127.0.0.1"} {
		s, _, err := client.Ask(limited(t), forward.Request{Open: forward.TCP, Host: host, Port: port})
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		exchange(t, s)
		if e := <-r.ends; e.FromClient != 4 || e.ToClient != 4 || e.Code != "" || e.Broken || e.Seconds <= 0 {
			t.Errorf("%s: %+v", host, e)
		}
	}
	local := netip.MustParseAddr("127.0.0.1")
	for _, q := range r.questions() {
		if q.Host != "" && q.Host != "localhost" || q.Host == "" && !slices.Equal(q.Addresses, []netip.Addr{local}) {
			t.Errorf("asked %+v", q)
		}
	}
}

// A name is not looked up when no address of it would be allowed.
func TestDeniedNamesAreNotLookedUp(t *testing.T) {
	r := &rules{ask: func(Question) (Permit, error) { return Permit{}, denied }}
	client := serve(t, r)
	_, _, err := client.Ask(limited(t), forward.Request{Open: forward.TCP, Host: "name.invalid", Port: 1})
	if code(err) != forward.CodeDenied || err.Error() != "not here" {
		t.Errorf("got %v", err)
	}
	if q := r.questions(); len(q) != 1 || q[0].Addresses != nil {
		t.Errorf("asked %+v", q)
	}
}

// Only what was allowed of a name's addresses is dialled.
func TestOnlyAllowedAddressesAreDialled(t *testing.T) {
	port := tcpPort(echoes(t, "tcp", "127.0.0.1:0"))
	other := netip.MustParseAddr("127.0.0.2") // where nobody listens
	r := &rules{ask: func(q Question) (Permit, error) { return Permit{Addresses: []netip.Addr{other}}, nil }}
	client := serve(t, r)
	_, _, err := client.Ask(limited(t), forward.Request{Open: forward.TCP, Host: "localhost", Port: port})
	if code(err) != forward.CodeRefused {
		t.Errorf("got %v", err)
	}
	if e := <-r.ends; e.Code != forward.CodeRefused {
		t.Errorf("%+v", e)
	}
}

func TestWhyAConnectionIsNotOpened(t *testing.T) {
	client := serve(t, &rules{})
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	for name, c := range map[string]struct {
		request forward.Request
		want    forward.Code
	}{
		"no listener":   {forward.Request{Open: forward.TCP, Host: "127.0.0.1", Port: 1}, forward.CodeRefused},
		"no socket":     {forward.Request{Open: forward.Unix, Path: filepath.Join(dir, "none")}, forward.CodeNotFound},
		"no directory":  {forward.Request{Open: forward.Unix, Path: filepath.Join(dir, "none", "x", "y")}, forward.CodeNotFound},
		"not a socket":  {forward.Request{Open: forward.Unix, Path: filepath.Join(dir, "file")}, forward.CodeRefused},
		"listen a name": {forward.Request{Listen: forward.TCP, Host: "example.org", Port: 1}, forward.CodeInvalid},
		"over a file":   {forward.Request{Listen: forward.Unix, Path: filepath.Join(dir, "file"), Unlink: true}, forward.CodeFailed},
		"no address":    {forward.Request{Listen: forward.TCP, Host: "192.0.2.1", Port: 0}, forward.CodeFailed},
	} {
		_, _, err := client.Ask(limited(t), c.request)
		if got := code(err); got != c.want {
			t.Errorf("%s: %q: %v", name, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Error("what is no socket was removed")
	}
}

func TestOpenUnix(t *testing.T) {
	r := &rules{}
	client := serve(t, r)
	dir := t.TempDir()
	echoes(t, "unix", filepath.Join(dir, "echo.sock"))
	os.Symlink(dir, filepath.Join(dir, "link"))
	s, _, err := client.Ask(limited(t), forward.Request{Open: forward.Unix, Path: filepath.Join(dir, "link", ".", "echo.sock")})
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s)
	if q := r.questions(); q[0].Path != filepath.Join(dir, "echo.sock") {
		t.Errorf("asked about %q", q[0].Path)
	}
}

// What was asked about is what is opened: nobody puts a link in between.
func TestALinkThatComesIntoThePathIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.sock")
	echoes(t, "unix", secret)
	allowed := filepath.Join(dir, "allowed")
	r := &rules{ask: func(q Question) (Permit, error) {
		if q.Path != allowed {
			return Permit{}, denied
		}
		os.Symlink(secret, allowed) // between the question and its use
		return Permit{}, nil
	}}
	client := serve(t, r)
	if _, _, err := client.Ask(limited(t), forward.Request{Open: forward.Unix, Path: allowed}); code(err) != forward.CodeFailed {
		t.Errorf("got %v", err)
	}
	if _, _, err := client.Ask(limited(t), forward.Request{Open: forward.Unix, Path: allowed}); code(err) != forward.CodeDenied {
		t.Errorf("a link that was there: %v", err)
	}
}

// next takes the stream of a connection that came in, and answers yes.
func next(t *testing.T, client *forward.Mux) (*forward.Stream, forward.Accepted) {
	t.Helper()
	s, err := client.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a, err := forward.ReadAccepted(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.WriteAnswer(s, forward.Answer{}); err != nil {
		t.Fatal(err)
	}
	return s, a
}

func TestListenTCP(t *testing.T) {
	r := &rules{}
	client := serve(t, r)
	listener, answer, err := client.Ask(limited(t), forward.Request{Listen: forward.TCP, Host: "localhost"})
	if err != nil || answer.Listener == 0 || answer.Port == 0 {
		t.Fatalf("%+v, %v", answer, err)
	}
	to := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(answer.Port)))
	c, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, accepted := next(t, client)
	if accepted.Listener != answer.Listener || accepted.From != c.LocalAddr().String() {
		t.Errorf("%+v", accepted)
	}
	go func() { io.Copy(s, s); s.CloseWrite() }()
	exchange(t, c.(*net.TCPConn))
	if e := <-r.ends; e.FromClient != 4 || e.ToClient != 4 {
		t.Errorf("%+v", e)
	}
	// One that the client refuses is broken.
	refused, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err) // it is answered below
	}
	defer refused.Close()
	if s, err = client.Accept(); err != nil {
		t.Fatal(err)
	}
	forward.ReadAccepted(s)
	forward.WriteAnswer(s, forward.No(forward.CodeRefused, "nobody is there"))
	s.Close()
	if _, err := refused.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a refused one saw %v", err)
	}
	if e := <-r.ends; e.Code != forward.CodeRefused {
		t.Errorf("%+v", e)
	}
	// The end of the stream is the end of the listener.
	listener.Close()
	if e := <-r.ends; e.Code != "" || e.Seconds <= 0 {
		t.Errorf("%+v", e)
	}
	if c, err := net.Dial("tcp", to); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	asked := r.questions()
	if q := asked[1]; q.Do != DoAccept || q.Port != answer.Port || q.From == "" || q.Host != "localhost" {
		t.Errorf("asked %+v", q)
	}
}

func TestListenOnEveryAddress(t *testing.T) {
	for _, host := range []string{"", "*", "0.0.0.0", "::"} {
		r := &rules{}
		client := serve(t, r)
		_, answer, err := client.Ask(limited(t), forward.Request{Listen: forward.TCP, Host: host})
		if err != nil {
			t.Fatal(err)
		}
		if q := r.questions()[0]; q.Host != "*" || q.Addresses != nil {
			t.Errorf("%q: asked %+v", host, q)
		}
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.3", strconv.Itoa(int(answer.Port))))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := next(t, client)
		go func() { io.Copy(s, s); s.CloseWrite() }()
		exchange(t, c.(*net.TCPConn))
		c.Close()
	}
}

// Of two addresses only the one that was allowed is listened on.
func TestOnlyAllowedAddressesAreListenedOn(t *testing.T) {
	r := &rules{ask: func(q Question) (Permit, error) { return Permit{Addresses: q.Addresses[:1]}, nil }}
	client := serve(t, r)
	_, answer, err := client.Ask(limited(t), forward.Request{Listen: forward.TCP, Host: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", net.JoinHostPort("::1", strconv.Itoa(int(answer.Port)))); err == nil {
		c.Close()
		t.Error("it listens at the other address as well")
	}
}

// A connection that the decider denies by now does not reach the client.
func TestAcceptIsAsked(t *testing.T) {
	r := &rules{ask: func(q Question) (Permit, error) {
		if q.Do == DoAccept {
			return Permit{}, denied
		}
		return Permit{Addresses: q.Addresses}, nil
	}}
	client := serve(t, r)
	_, answer, err := client.Ask(limited(t), forward.Request{Listen: forward.TCP, Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(answer.Port))))
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

func TestListenUnix(t *testing.T) {
	client := serve(t, &rules{})
	path := filepath.Join(t.TempDir(), "s.sock")
	request := forward.Request{Listen: forward.Unix, Path: path}
	listener, answer, err := client.Ask(limited(t), request)
	if err != nil || answer.Path != path {
		t.Fatalf("%+v, %v", answer, err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, _ := next(t, client)
	go func() { io.Copy(s, s); s.CloseWrite() }()
	exchange(t, c.(*net.UnixConn))
	if _, _, err := client.Ask(limited(t), request); code(err) != forward.CodeFailed {
		t.Errorf("a second one at the same path: %v", err)
	}
	request.Unlink = true
	if _, _, err := client.Ask(limited(t), request); err != nil {
		t.Errorf("in place of it: %v", err)
	}
	// The first one does not remove the other's socket.
	listener.Close()
	gone(t, client, 1)
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	client.Close()
	removed(t, path)
}

// gone waits until only so many streams are left.
func gone(t *testing.T, client *forward.Mux, left int) {
	t.Helper()
	for end := time.Now().Add(patience); client.Streams() > left; {
		if time.Now().After(end) {
			t.Fatalf("%d streams are left", client.Streams())
		}
		await(time.Millisecond)
	}
}

func removed(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(patience); ; await(time.Millisecond) {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", path)
		}
	}
}

func await(d time.Duration) { <-time.After(d) }

func TestListenAgent(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := &rules{}
	client := serve(t, r)
	_, answer, err := client.Ask(limited(t), forward.Request{Listen: forward.Agent})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(answer.Path)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if q := r.questions()[0]; q.Do != DoListen || q.Kind != forward.Agent || q.Path != answer.Path {
		t.Errorf("asked %+v", q)
	}
	c, err := net.Dial("unix", answer.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	next(t, client)
	client.Close()
	removed(t, dir)
}

func TestDeniedAgentLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	client := serve(t, &rules{ask: func(Question) (Permit, error) { return Permit{}, denied }})
	if _, _, err := client.Ask(limited(t), forward.Request{Listen: forward.Agent}); code(err) != forward.CodeDenied {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestLimits(t *testing.T) {
	client := serve(t, &rules{})
	for i := range maxListeners {
		if _, _, err := client.Ask(limited(t), forward.Request{Listen: forward.TCP, Host: "127.0.0.1"}); err != nil {
			t.Fatalf("listener %d: %v", i, err)
		}
	}
	if _, _, err := client.Ask(limited(t), forward.Request{Listen: forward.TCP, Host: "127.0.0.1"}); code(err) != forward.CodeLimit {
		t.Errorf("one more listener: %v", err)
	}
	for range forward.MaxStreams - maxListeners {
		if _, err := client.Open(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := client.Ask(limited(t), forward.Request{Listen: forward.Agent}); code(err) != forward.CodeLimit {
		t.Errorf("one more stream: %v", err)
	}
}

// What waits for an answer of the agent does not hold up others, and no more of
// them wait than may.
func TestPendingIsBounded(t *testing.T) {
	release := make(chan struct{})
	r := &rules{ask: func(q Question) (Permit, error) {
		if q.Port == 1 {
			<-release
			return Permit{}, denied
		}
		return Permit{Addresses: q.Addresses}, nil
	}}
	client := serve(t, r)
	port := tcpPort(echoes(t, "tcp", "127.0.0.1:0"))
	open := func(port uint16) (*forward.Stream, error) {
		s, _, err := client.Ask(limited(t), forward.Request{Open: forward.TCP, Host: "127.0.0.1", Port: port})
		return s, err
	}
	var wait sync.WaitGroup
	for range maxPending - 1 {
		wait.Go(func() { open(1) })
	}
	for end := time.Now().Add(patience); len(r.questions()) < maxPending-1 && time.Now().Before(end); {
		await(time.Millisecond)
	}
	s, err := open(port)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s)
	wait.Go(func() { open(1) })
	for end := time.Now().Add(patience); len(r.questions()) < maxPending+1 && time.Now().Before(end); {
		await(time.Millisecond)
	}
	if _, err := open(port); code(err) != forward.CodeLimit {
		t.Errorf("one more: %v", err)
	}
	close(release)
	wait.Wait()
}
