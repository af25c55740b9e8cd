package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shellagent/internal/forward"
)

// forwarding is a host whose sources may forward what they say.
func forwarding(allow object) func(h *host, config object) {
	return policed(map[string]object{"tunnel": {"allow": allow}})
}

// carried is a session of forwards: the protocol on the streams of a client.
type carried struct {
	*forward.Mux
	cmd    *exec.Cmd
	stderr *syncBuffer
}

type streams struct {
	io.Reader
	io.WriteCloser
	out io.Closer
}

func (s streams) Close() error { return errors.Join(s.WriteCloser.Close(), s.out.Close()) }

// carry opens a session of forwards and ends it with the test.
func (h *host) carry(source string, args ...string) *carried {
	h.t.Helper()
	cmd := h.clientCmd(context.Background(), "exec", append([]string{"--accept-new", "--subsystem", "forward", source, "myhost"}, args...)...)
	in, out := must(cmd.StdinPipe())(h.t), must(cmd.StdoutPipe())(h.t)
	stderr := &syncBuffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	c := &carried{cmd: cmd, stderr: stderr}
	c.Mux = must(forward.NewClient(streams{out, in, out}))(h.t)
	h.t.Cleanup(c.end)
	return c
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// end closes the streams and takes the client's exit.
func (c *carried) end() {
	c.Close()
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Wait()
	}
}

// ask asks for a stream within the time that a test has.
func (c *carried) ask(r forward.Request) (*forward.Stream, forward.Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return c.Ask(ctx, r)
}

func (c *carried) mustAsk(t *testing.T, r forward.Request) (*forward.Stream, forward.Answer) {
	t.Helper()
	s, a, err := c.ask(r)
	if err != nil {
		t.Fatalf("%+v: %v; %s", r, err, c.stderr)
	}
	return s, a
}

func toTCP(port int) forward.Request {
	return forward.Request{Open: forward.TCP, Host: "127.0.0.1", Port: uint16(port)}
}

func refusedWith(t *testing.T, err error, code forward.Code) {
	t.Helper()
	var r *forward.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestForwardsAreDeniedUnlessGranted(t *testing.T) {
	port := echoing(t)
	h := startHost(t, forwarding(object{"localForward": []string{"127.0.0.1:" + strconv.Itoa(port), "10.0.0.0/8:*"}, "remoteForward": []string{"127.0.0.1:1024-65535"}}))
	if got := h.exec(nil, "--subsystem", "forward", "debug", "myhost"); got.code != 255 || !strings.Contains(got.stderr, "does not allow forward") {
		t.Errorf("a source that does not name them: code %d, %s", got.code, got.stderr)
	}
	c := h.carry("tunnel")
	s, _ := c.mustAsk(t, toTCP(port))
	fmt.Fprint(s, "ping")
	s.CloseWrite()
	if got, err := io.ReadAll(s); string(got) != "ping" {
		t.Errorf("%q, %v", got, err)
	}
	for _, r := range []forward.Request{
		toTCP(port + 1), {Open: forward.TCP, Host: "::1", Port: uint16(port)}, {Open: forward.TCP, Host: "169.254.169.254", Port: 80},
		{Open: forward.Unix, Path: "/run/docker.sock"},
		{Listen: forward.TCP, Host: "*", Port: 8080}, {Listen: forward.TCP, Host: "127.0.0.1", Port: 80}, {Listen: forward.Unix, Path: "/tmp/x.sock"}, {Listen: forward.Agent},
	} {
		if _, _, err := c.ask(r); true {
			refusedWith(t, err, forward.CodeDenied)
		}
	}
	if _, _, err := c.ask(forward.Request{Listen: forward.TCP, Host: "example.org", Port: 8080}); true {
		refusedWith(t, err, forward.CodeInvalid)
	}
	if got := h.runClient(nil, "sessions", "myhost"); !strings.Contains(got.stdout, "forward") {
		t.Errorf("sessions: %s%s", got.stdout, got.stderr)
	}
	c.end()
	dest := "127.0.0.1:" + strconv.Itoa(port)
	h.told("forward.opened", map[string]any{"forward": "open", "destination": dest, "source": "tunnel"})
	ended := h.told("forward.ended", map[string]any{"forward": "open", "destination": dest})
	if ended["inputBytes"] != 4.0 || ended["outputBytes"] != 4.0 || ended["remote"] == nil {
		t.Errorf("%v", ended)
	}
	h.told("forward.denied", map[string]any{"forward": "open", "destination": "169.254.169.254:80", "reason": "denied"})
	h.told("forward.denied", map[string]any{"forward": "listen", "destination": "agent"})
	h.told("forward.failed", map[string]any{"forward": "listen", "reason": "invalid"})
	h.told("session.opened", map[string]any{"source": "tunnel", "command": "forward"})
}

// What goes through is what a program at the other end would do as the user.
func TestForwardsAreTheUsers(t *testing.T) {
	needRoot(t)
	need(t, "pgrep")
	dir := served(t)
	secret := filepath.Join(dir, "root.sock")
	l := must(net.Listen("unix", secret))(t)
	defer l.Close()
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, forwarding(object{"localForward": []string{dir + "/*"}, "remoteForward": []string{dir + "/*", dir + "/out/*", "*:*"}}))
	c := h.carry("tunnel")
	if _, _, err := c.ask(forward.Request{Open: forward.Unix, Path: secret}); true {
		refusedWith(t, err, forward.CodeFailed)
	}
	if _, _, err := c.ask(forward.Request{Listen: forward.TCP, Host: "127.0.0.1", Port: 81}); true {
		refusedWith(t, err, forward.CodeFailed)
	}
	if _, _, err := c.ask(forward.Request{Listen: forward.Unix, Path: filepath.Join(dir, "x.sock")}); true {
		refusedWith(t, err, forward.CodeFailed)
	}
	for _, pid := range h.children() {
		limits, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		has := status(t, pid)
		if !strings.Contains(string(limits), "3221225472") || has["CapEff"] != "0000000000000000" || !strings.HasPrefix(has["Uid"], strconv.Itoa(operatorUID(t))) {
			t.Errorf("the helper runs with %v\n%s", has, limits)
		}
	}
	path := filepath.Join(dir, "out", "x.sock")
	c.mustAsk(t, forward.Request{Listen: forward.Unix, Path: path})
	info := must(os.Lstat(path))(t)
	if uid := info.Sys().(*syscall.Stat_t).Uid; info.Mode() != os.ModeSocket|0o600 || int(uid) != operatorUID(t) {
		t.Errorf("%v of %d", info.Mode(), uid)
	}
	c.end()
	h.waitFor("the socket to be removed", func() bool { _, err := os.Lstat(path); return os.IsNotExist(err) })
}

func operatorUID(t *testing.T) int {
	out := must(exec.Command("id", "-u", "operator").Output())(t)
	return must(strconv.Atoi(strings.TrimSpace(string(out))))(t)
}

// A listener is gone with its client, however that ends.
func TestAKilledClientFreesItsListeners(t *testing.T) {
	h := startHost(t, func(h *host, config object) {
		forwarding(object{"remoteForward": []string{"localhost:1024-65535"}, "agentForward": true})(h, config)
		config["sources"].(object)["tunnel"].(object)["linger"] = 0
	})
	c := h.carry("tunnel")
	_, answer := c.mustAsk(t, forward.Request{Listen: forward.TCP, Host: "localhost"})
	_, socket := c.mustAsk(t, forward.Request{Listen: forward.Agent})
	to := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(answer.Port)))
	must(net.Dial("tcp", to))(t).Close()
	_ = c.cmd.Process.Kill()
	h.waitFor("the port to be free", func() bool {
		l, err := net.Listen("tcp", to)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
	h.waitFor("the agent's directory to be removed", func() bool {
		_, err := os.Stat(filepath.Dir(socket.Path))
		return os.IsNotExist(err)
	})
}

// Less of what a session may forward ends it; more holds at once.
func TestReloadNarrowsForwards(t *testing.T) {
	port, other := echoing(t), echoing(t)
	rule := func(p int) string { return "127.0.0.1:" + strconv.Itoa(p) }
	h := startHost(t, forwarding(object{"localForward": []string{rule(port)}}))
	allow := func(rules ...string) { h.allow("tunnel", object{"localForward": rules}) }
	c := h.carry("tunnel")
	s, _ := c.mustAsk(t, toTCP(port))
	if _, _, err := c.ask(toTCP(other)); true {
		refusedWith(t, err, forward.CodeDenied)
	}
	allow(rule(port), rule(other))
	c.mustAsk(t, toTCP(other))
	fmt.Fprint(s, "still")
	if got := make([]byte, 5); must(io.ReadFull(s, got))(t) != 5 || string(got) != "still" {
		t.Errorf("%q", got)
	}
	allow(rule(other))
	<-c.Done()
	c.end()
	if text := c.stderr.String(); !strings.Contains(text, "no longer allowed") {
		t.Errorf("the client says %s", text)
	}
}

// transferred sends size bytes through a stream that echoes and compares them.
func transferred(s *forward.Stream, size int64) error {
	up, down := sha256.New(), sha256.New()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(s, up), noise(size))
		s.CloseWrite()
		sent <- err
	}()
	n, err := io.Copy(down, s)
	if err = errors.Join(err, <-sent); err != nil {
		return err
	}
	if n != size || !bytes.Equal(up.Sum(nil), down.Sum(nil)) {
		return fmt.Errorf("%d of %d bytes came back, or others", n, size)
	}
	return nil
}

// Bytes flow on through upgrades of the agent and deaths of its front, and what is
// asked for then is answered.
func TestForwardsThroughUpgradesAndDeaths(t *testing.T) {
	port := echoing(t)
	h := upgradable(t, forwarding(object{"localForward": []string{"*:*"}, "remoteForward": []string{"localhost:*"}, "agentForward": true, "exec": true}))
	c := h.carry("tunnel")
	_, socket := c.mustAsk(t, forward.Request{Listen: forward.Agent})
	var flows sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		flows.Go(func() {
			for rounds := 0; ; rounds++ {
				select {
				case <-over:
					return
				default:
				}
				s, _, err := c.ask(toTCP(port))
				if err == nil {
					err = transferred(s, 3<<20)
				}
				if err != nil {
					t.Errorf("round %d: %v; %s", rounds, err, c.stderr)
					return
				}
			}
		})
	}
	for range 2 {
		h.install(nil)
		h.reload(tookOver)
		h.killFront()
	}
	close(over)
	flows.Wait()
	// The socket is known to the agent that took over.
	if got := h.offered("tunnel", socket.Path); got != socket.Path {
		t.Errorf("SSH_AUTH_SOCK is %q, want %q", got, socket.Path)
	}
	h.allow("tunnel", object{"localForward": []string{"*:*"}, "remoteForward": []string{"localhost:*"}})
	<-c.Done()
}

// allow changes what a source allows, and waits until that is in force.
func (h *host) allow(source string, allow object) {
	h.t.Helper()
	h.reconfigure(func(config object) { config["sources"].(object)[source].(object)["allow"] = allow })
	h.reload("the configuration was read again")
}

// offered is what a program of the source has as SSH_AUTH_SOCK when that is offered.
func (h *host) offered(source, path string) string {
	h.t.Helper()
	got := h.exec(nil, "--env", "SSH_AUTH_SOCK="+path, source, "myhost", "--", "bash", "-c", `echo "$SSH_AUTH_SOCK"`)
	if got.code != 0 {
		h.t.Errorf("code %d: %s", got.code, got.stderr)
	}
	return strings.TrimSpace(got.stdout)
}

// SSH_AUTH_SOCK is what the session of the same key made, and nothing else.
func TestAgentSocketOfASession(t *testing.T) {
	h := startHost(t, forwarding(object{"agentForward": true, "exec": true}))
	c := h.carry("tunnel")
	_, socket := c.mustAsk(t, forward.Request{Listen: forward.Agent})
	for path, want := range map[string]string{socket.Path: socket.Path, socket.Path + "x": "", "/run/other.sock": ""} {
		if got := h.offered("tunnel", path); got != want {
			t.Errorf("offered %s: %q", path, got)
		}
	}
	if got := h.offered("debug", socket.Path); got != "" {
		t.Errorf("a source that forwards no agent: %q", got)
	}
	// A program of the user reaches the client through it.
	done := make(chan result, 1)
	go func() {
		done <- h.exec(nil, "--env", "SSH_AUTH_SOCK="+socket.Path, "tunnel", "myhost", "--", "bash", "-c", `exec curl -s -m 20 --unix-socket "$SSH_AUTH_SOCK" http://x/`)
	}()
	s := must(c.Accept())(t)
	must(forward.ReadAccepted(s))(t)
	if err := forward.WriteAnswer(s, forward.Answer{}); err != nil {
		t.Fatal(err)
	}
	request := make([]byte, 3)
	must(io.ReadFull(s, request))(t)
	fmt.Fprint(s, "HTTP/1.0 200 OK\r\n\r\nhello")
	s.Close()
	if got := <-done; got.stdout != "hello" || string(request) != "GET" {
		t.Errorf("%q, %q, %s", request, got.stdout, got.stderr)
	}
	c.end()
	h.waitFor("the socket to be forgotten", func() bool { return h.offered("tunnel", socket.Path) == "" })
}

// A thousand connections at once, and one that does not read: the others go on,
// and the host keeps no more than a window for it.
func TestAThousandForwards(t *testing.T) {
	port := echoing(t)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := startHost(t, func(h *host, config object) {
		forwarding(object{"localForward": []string{"127.0.0.1:*"}})(h, config)
		config["metrics"] = object{"address": address}
	})
	c := h.carry("tunnel")
	lazy := must(net.Listen("tcp", "127.0.0.1:0"))(t) // whose backlog takes it, and nobody reads
	defer lazy.Close()
	slow, _ := c.mustAsk(t, toTCP(portOf(lazy)))
	slow.SetWriteDeadline(time.Now().Add(2 * time.Second))
	stuck, err := slow.Write(make([]byte, 64<<20))
	if err == nil || stuck > 24<<20 {
		t.Errorf("%d bytes went to one that reads none: %v", stuck, err)
	}
	const many = 1000
	open := make([]*forward.Stream, many)
	var all sync.WaitGroup
	for i := range open {
		all.Go(func() {
			s, _, err := c.ask(toTCP(port))
			if err != nil {
				t.Errorf("stream %d: %v", i, err)
				return
			}
			open[i] = s
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for i := range open {
		all.Go(func() {
			if err := transferred(open[i], 64<<10); err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for _, pid := range h.children() {
		most := status(t, pid)["VmHWM"]
		t.Logf("the helper had at most %s", most)
		if kB, _ := strconv.Atoi(strings.TrimSuffix(most, " kB")); kB > 512<<10 {
			t.Errorf("the helper had %s", most)
		}
	}
	h.waitFor("a thousand ends", func() bool { return strings.Contains(scrape(t, address), `forwards_ended_total{do="open"} 1000`) })
}

// Connections are in no recording, so a source that has to record loses none for
// them; and a session that carries nothing is as idle as any.
func TestForwardsAreNotRecordedAndMayBeIdle(t *testing.T) {
	port := echoing(t)
	h := startHost(t, policed(map[string]object{"tunnel": {
		"allow":  object{"localForward": []string{"127.0.0.1:*"}, "exec": true},
		"record": object{"dir": "/proc/nowhere"}, "idleTimeout": "2s",
	}}))
	if got := h.exec(nil, "tunnel", "myhost", "--", "true"); got.code != 255 {
		t.Errorf("a command ran unrecorded: %d", got.code)
	}
	if out := h.run0(agentBin, "check", "-c", h.config); !strings.Contains(out, "nothing of what it forwards") || !strings.Contains(out, "forward (connects to 127.0.0.1:*)") {
		t.Error(out)
	}
	c := h.carry("tunnel")
	s, _ := c.mustAsk(t, toTCP(port))
	fmt.Fprint(s, "ping")
	if got := make([]byte, 4); must(io.ReadFull(s, got))(t) != 4 {
		t.Errorf("%q", got)
	}
	<-c.Done()
	h.told("limit.reached", map[string]any{"reason": "idle_timeout", "source": "tunnel"})
}

// A helper and an agent that are killed leave no port and no socket behind, and
// the client is told.
func TestKilledHelpersAndAgentsOfForwards(t *testing.T) {
	need(t, "pgrep")
	h := startHost(t, forwarding(object{"remoteForward": []string{"localhost:1024-65535"}, "agentForward": true}))
	listen := func() (c *carried, to, dir string) {
		c = h.carry("tunnel")
		_, answer := c.mustAsk(t, forward.Request{Listen: forward.TCP, Host: "localhost"})
		_, socket := c.mustAsk(t, forward.Request{Listen: forward.Agent})
		return c, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(answer.Port))), filepath.Dir(socket.Path)
	}
	free := func(to string) func() bool {
		return func() bool {
			l, err := net.Listen("tcp", to)
			if err == nil {
				l.Close()
			}
			return err == nil
		}
	}
	c, to, dir := listen()
	t.Cleanup(func() { os.RemoveAll(dir) }) // nobody is left to remove it
	for _, pid := range h.children() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-c.Done()
	if c.end(); c.cmd.ProcessState.ExitCode() != 128+9 {
		t.Errorf("the client of a killed helper exits with %d; %s", c.cmd.ProcessState.ExitCode(), c.stderr)
	}
	h.waitFor("the port to be free", free(to))

	c, to, dir = listen()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.done
	h.cmd = nil
	h.waitFor("the port to be free", free(to))
	h.waitFor("the agent's directory to be removed", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
	h.start()
	<-c.Done()
}
