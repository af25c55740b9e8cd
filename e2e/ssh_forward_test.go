package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// forwards lets the source debug forward whatever a test needs.
func forwards(allow object) func(*host, object) {
	return func(h *host, config object) {
		all := object{
			"shell": true, "exec": true, "sftp": true, "agentForward": true,
			"localForward": []string{"127.0.0.1:*", "localhost:*", "[::1]:*", "/tmp/*", "/tmp/*/*"}, "remoteForward": []string{"localhost:*", "127.0.0.1:*", "/tmp/*", "/tmp/*/*"},
		}
		for name, value := range allow {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		config["sources"].(object)["debug"].(object)["allow"] = all
	}
}

// openDir is a directory that the source's user and this one can put sockets into,
// with a short name.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "shellagent-forward-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

const page = "what the server serves\n"

// website serves over the network, and answers 404 for all but "/".
func website(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, page)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return l
}

// background is a program that goes on while the test does.
type background struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *syncBuffer
	done   chan struct{}
	state  *os.ProcessState // once it has ended
}

// start runs one of the person's programs until the test ends it.
func (u *sshUser) start(line ...string) *background {
	u.t.Helper()
	b := &background{t: u.t, cmd: exec.Command(line[0], line[1:]...), stderr: &syncBuffer{}, done: make(chan struct{})}
	b.cmd.Env, b.cmd.Dir, b.cmd.Stderr = u.env, u.dir, b.stderr
	stdin, err := b.cmd.StdinPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	b.stdin, b.stdout = stdin, bufio.NewReader(stdout)
	if err := b.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	go func() {
		defer close(b.done)
		b.state, _ = b.cmd.Process.Wait()
	}()
	u.t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		<-b.done
		if u.t.Failed() {
			u.t.Logf("%v said:\n%s", line, b.stderr)
		}
	})
	return b
}

// end sends a signal and waits for the program to end.
func (b *background) end(s os.Signal) {
	b.t.Helper()
	_ = b.cmd.Process.Signal(s)
	b.ended()
}

func (b *background) ended() {
	b.t.Helper()
	select {
	case <-b.done:
	case <-time.After(30 * time.Second):
		b.t.Fatalf("%v does not end", b.cmd.Args)
	}
}

// forwardEvent is a line of forward --json.
type forwardEvent struct {
	Event, Forward, At, From, To, Error string
	ID, Sent, Received                  uint64
}

// events reads lines until one of a kind, and returns all of them.
func (b *background) events(until string) (all []forwardEvent) {
	b.t.Helper()
	for {
		line, err := b.stdout.ReadString('\n')
		if err != nil {
			b.t.Fatalf("%v after %+v\n%s", err, all, b.stderr)
		}
		var e forwardEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			b.t.Fatalf("%q: %v", line, err)
		}
		if all = append(all, e); e.Event == until {
			return all
		}
	}
}

// listens waits until something does at a port or a path of this machine.
func (h *host) listens(at string) {
	h.t.Helper()
	network := "tcp"
	if strings.HasPrefix(at, "/") {
		network = "unix"
	} else if !strings.Contains(at, ":") {
		at = "127.0.0.1:" + at
	}
	h.waitFor("something to listen on "+at, func() bool {
		conn, err := net.Dial(network, at)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// curl fetches what the website serves.
func (u *sshUser) curl(args ...string) {
	u.t.Helper()
	got := u.call("", append([]string{"curl", "-sS", "-m", "20"}, args...)...)
	if got.code != 0 || got.stdout != page {
		u.t.Errorf("curl %v: %+v", args, got)
	}
}

func TestForward(t *testing.T) {
	need(t, "curl")
	u := newSSHUser(t, forwards(nil))
	dir := openDir(t)
	web := website(t, "tcp", "127.0.0.1:0")
	website(t, "unix", dir+"/web")
	to := fmt.Sprintf("127.0.0.1:%d", portOf(web))
	b := u.start(agentBin, "forward", "--json", "myhost",
		"-L", "0:"+to, "-L", "127.0.0.1:0:"+dir+"/web", "-L", dir+"/l1:"+to, "-L", dir+"/l2:"+dir+"/web",
		"-R", "0:"+to, "-R", "127.0.0.1:0:"+dir+"/web", "-R", dir+"/r1:"+to, "-R", dir+"/r2:"+dir+"/web",
		"-D", "0", "-R", "0")
	var at []string
	for _, e := range b.events("ready") {
		if e.Event == "listening" {
			at = append(at, e.At)
		}
	}
	if len(at) != 10 {
		t.Fatalf("it listens on %q", at)
	}
	// Of -L come first, then -D, then -R, each in its order.
	for _, address := range []string{at[0], at[1], at[5], at[6]} {
		u.curl("http://" + address + "/")
	}
	for _, path := range []string{at[2], at[3], at[7], at[8]} {
		u.curl("--unix-socket", path, "http://web/")
		// A socket is its listener's user's: this test's, or the source's.
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	for _, proxy := range []string{at[4], at[9]} {
		for _, kind := range []string{"--socks4", "--socks4a", "--socks5", "--socks5-hostname"} {
			u.curl(kind, proxy, "http://"+to+"/")
			u.curl(kind, proxy, fmt.Sprintf("http://localhost:%d/", portOf(web)))
		}
	}
	b.end(os.Interrupt)
	if b.state.ExitCode() != 130 {
		t.Errorf("it ends with %v", b.state)
	}
	for _, path := range []string{at[2], at[3], at[7], at[8]} {
		u.waitFor(path+" to be gone", func() bool { _, err := os.Lstat(path); return errors.Is(err, os.ErrNotExist) })
	}
}

func TestForwardRefusals(t *testing.T) {
	need(t, "curl")
	u := newSSHUser(t, func(h *host, config object) {
		forwards(object{"localForward": []string{"127.0.0.1:1"}, "remoteForward": nil, "agentForward": nil})(h, config)
		config["sources"].(object)["plain"] = h.debugSource()
	})
	web := website(t, "tcp", "127.0.0.1:0")
	to := fmt.Sprintf("127.0.0.1:%d", portOf(web))
	port := fmt.Sprint(freePort(t))
	b := u.start(u.ssh, "-N", "-L", port+":"+to, "-D", fmt.Sprint(freePort(t)), "myhost")
	u.waitFor("it to listen", func() bool { c, err := net.Dial("tcp", "127.0.0.1:"+port); return err == nil && c.Close() == nil })
	if got := u.call("", "curl", "-sS", "-m", "20", "http://127.0.0.1:"+port); got.code == 0 {
		t.Errorf("a destination that is not allowed: %+v", got)
	}
	u.waitFor("the person to be told", func() bool { return strings.Contains(b.stderr.String(), "open failed: "+to) })
	b.end(os.Interrupt)

	nobody := freePort(t)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a source that forwards nothing": {[]string{"-N", "-oExitOnForwardFailure=yes", "-L", port + ":" + to, "plain@myhost"}, "it allows"},
		"-R":                             {[]string{"-N", "-oExitOnForwardFailure=yes", "-R", "0:" + to, "myhost"}, "-R 0:" + to},
		"the port is taken":              {[]string{"-N", "-oExitOnForwardFailure=yes", "-L", fmt.Sprintf("%d:%s", portOf(web), to), "myhost"}, "in use"},
		"-W":                             {[]string{"-W", to, "myhost"}, "open failed: " + to},
		"-W to nobody":                   {[]string{"-W", fmt.Sprintf("127.0.0.1:%d", nobody), "myhost"}, "stdio forwarding failed"},
	} {
		if got := u.call("", append([]string{u.ssh}, c.args...)...); got.code != 255 || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, args := range map[string][]string{
		"a source that forwards nothing": {"-L", port + ":" + to, "-A", "plain@myhost", "echo on"},
		"-R":                             {"-R", "0:" + to, "myhost", "echo on"},
		"the port is taken":              {"-L", fmt.Sprintf("%d:%s", portOf(web), to), "myhost", "echo on"},
		"-A, which is not allowed":       {"-A", "myhost", "echo on"},
	} {
		if got := u.call("", append([]string{u.ssh}, args...)...); got.code != 0 || got.stdout != "on\n" || name != "-A, which is not allowed" && got.stderr == "" {
			t.Errorf("%s, without insisting: %+v", name, got)
		}
	}
	if got := u.runClient(nil, "forward", "--accept-new", "myhost", "-L", fmt.Sprintf("%d:%s", portOf(web), to)); got.code != 255 || !strings.Contains(got.stderr, "in use") {
		t.Errorf("forward, where the port is taken: %+v", got)
	}
	if got := u.runClient(nil, "forward", "--accept-new", "plain@myhost", "-L", "0:"+to); got.code != 255 || !strings.Contains(got.stderr, "refused: ") {
		t.Errorf("forward, where nothing is allowed: %+v", got)
	}
}

// forwarded starts a -L to a port of this machine and returns where it listens.
func (u *sshUser) forwarded(to int, more ...string) (address string, b *background) {
	u.t.Helper()
	b = u.start(append([]string{agentBin, "forward", "--json", "myhost", "-L", fmt.Sprintf("127.0.0.1:0:127.0.0.1:%d", to)}, more...)...)
	return b.events("ready")[0].At, b
}

func TestForwardThousandAtOnce(t *testing.T) {
	const many = 1000
	u := newSSHUser(t, forwards(nil))
	address, b := u.forwarded(echoing(t))
	go func() { _, _ = io.Copy(io.Discard, b.stdout) }()
	conns := make([]net.Conn, many)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
		conns[i] = conn
	}
	var all sync.WaitGroup
	round := func(i int, conn net.Conn, text string) {
		_, _ = io.WriteString(conn, text)
		got := make([]byte, len(text))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
			t.Errorf("%d: %v", i, err)
		}
	}
	// Each is open before the first ends.
	for i, conn := range conns {
		all.Go(func() { round(i, conn, fmt.Sprintf("connection %d", i)) })
	}
	all.Wait()
	for i, conn := range conns {
		all.Go(func() {
			round(i, conn, strings.Repeat(fmt.Sprint(i), 1000))
			_ = conn.(*net.TCPConn).CloseWrite()
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("%d: the end is %q, %v", i, rest, err)
			}
		})
	}
	all.Wait()
}

// Through a network that breaks again and again, both ways at once, nothing is lost.
func TestForwardThroughCuts(t *testing.T) {
	u := newSSHUser(t, forwards(nil))
	proxy := newCutting(t, u.port, faults{cuts: 12})
	to := fmt.Sprintf("%d", echoing(t))
	b := u.start(agentBin, "forward", "--json", "--accept-new", fmt.Sprintf("debug@127.0.0.1:%d", proxy.port()), "-L", "127.0.0.1:0:127.0.0.1:"+to)
	address := b.events("ready")[0].At
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	proxy.arm()
	proxy.cutAll()
	const size = 48 << 20
	sent, received := sha256.New(), sha256.New()
	given := make(chan struct{})
	go func() {
		defer close(given)
		random := rand.NewChaCha8([32]byte{7})
		_, _ = io.CopyN(io.MultiWriter(conn, sent), random, size)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	n, err := io.Copy(received, conn)
	<-given
	if err != nil || n != size || hex.EncodeToString(sent.Sum(nil)) != hex.EncodeToString(received.Sum(nil)) {
		t.Errorf("%d bytes came back of %d, %v", n, size, err)
	}
	if proxy.made.Load() == 0 {
		t.Error("no connection was broken")
	}
	t.Logf("%d cuts", proxy.made.Load())
}

// What is open outlives the program, as with ssh.
func TestForwardOutlivesTheProgram(t *testing.T) {
	u := newSSHUser(t, forwards(nil))
	port := freePort(t)
	b := u.start(u.ssh, "-L", fmt.Sprintf("%d:127.0.0.1:%d", port, echoing(t)), "myhost", "echo begun; read line; echo over; exit 3")
	if line, err := b.stdout.ReadString('\n'); err != nil || line != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	say := func(text string) {
		t.Helper()
		got := make([]byte, len(text))
		_, _ = io.WriteString(conn, text)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
			t.Fatalf("%q, %v", got, err)
		}
	}
	say("before")
	_, _ = io.WriteString(b.stdin, "go\n")
	if line, err := b.stdout.ReadString('\n'); err != nil || line != "over\n" {
		t.Fatalf("%q, %v", line, err)
	}
	say("after")
	select {
	case <-b.done:
		t.Fatal("it has ended with a connection open")
	default:
	}
	say("still")
	conn.Close()
	b.ended()
	if b.state.ExitCode() != 3 {
		t.Errorf("it ends with %v", b.state)
	}
}

// ports waits for an allocated port in ssh's words.
func (b *background) allocated() (port string) {
	b.t.Helper()
	if !eventually(20*time.Second, func() bool {
		_, err := fmt.Sscanf(b.stderr.String(), "Allocated port %s for remote forward to ", &port)
		return err == nil
	}) {
		b.t.Fatalf("no port is told:\n%s", b.stderr)
	}
	return port
}

func TestSSHForwards(t *testing.T) {
	need(t, "curl", "pgrep")
	u := newSSHUser(t, forwards(nil))
	dir := openDir(t)
	web := website(t, "tcp", "127.0.0.1:0")
	website(t, "unix", dir+"/web")
	to := fmt.Sprintf("127.0.0.1:%d", portOf(web))
	ports := []string{fmt.Sprint(freePort(t)), fmt.Sprint(freePort(t)), fmt.Sprint(freePort(t)), fmt.Sprint(freePort(t))}
	b := u.start(u.ssh, "-N", "-oStreamLocalBindMask=0117", "-oStreamLocalBindUnlink=yes",
		"-L", ports[0]+":"+to, "-oLocalForward="+ports[1]+" "+to, "-L", dir+"/l:"+dir+"/web", "-D", "127.0.0.1:"+ports[2],
		"-R", "0:"+to, "-R", dir+"/r:"+to, "-R", ports[3], "myhost")
	port := b.allocated()
	u.listens(ports[3])
	for _, p := range []string{ports[0], ports[1], port} {
		u.curl("http://127.0.0.1:" + p + "/")
	}
	u.curl("-g", "http://[::1]:"+ports[0]+"/")
	u.curl("--unix-socket", dir+"/l", "http://web/")
	u.curl("--unix-socket", dir+"/r", "http://web/")
	u.curl("--socks5-hostname", "127.0.0.1:"+ports[2], "http://"+to+"/")
	u.curl("--socks4a", "127.0.0.1:"+ports[3], "http://"+to+"/")
	if info, err := os.Stat(dir + "/l"); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	b.end(syscall.SIGTERM)
	// -f leaves it in the background once it listens.
	if got := u.call("", "sh", "-c", u.ssh+" -fN -L "+ports[0]+":"+to+" myhost >/dev/null 2>&1"); got.code != 0 {
		t.Fatalf("-fN: %+v", got)
	}
	u.curl("http://127.0.0.1:" + ports[0] + "/")
	pid, err := strconv.Atoi(strings.TrimSpace(u.must("pgrep", "-f", "--", "^"+u.ssh+" -fN -L "+ports[0]+":"+to)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	u.waitFor("it to end", func() bool { return syscall.Kill(pid, 0) != nil })
}

// VS Code's Remote-SSH runs a script through a shell, and then speaks to what
// that started through the port that the shell's own ssh forwards.
func TestSSHForwardOfVSCode(t *testing.T) {
	need(t, "curl")
	u := newSSHUser(t, forwards(nil))
	web := website(t, "tcp", "127.0.0.1:0")
	port := fmt.Sprint(freePort(t))
	b := u.start(u.ssh, "-v", "-T", "-D", port, "-o", "ConnectTimeout=15", "myhost", "bash")
	lines := []string{"echo \"12ab: running\"", "uname -s", fmt.Sprintf("echo \"listeningOn==%d==\"", portOf(web))}
	for i, want := range []string{"12ab: running", "Linux", fmt.Sprintf("listeningOn==%d==", portOf(web))} {
		_, _ = io.WriteString(b.stdin, lines[i]+"\n")
		if line, err := b.stdout.ReadString('\n'); err != nil || line != want+"\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	for range 3 {
		u.curl("--socks5", "127.0.0.1:"+port, fmt.Sprintf("http://127.0.0.1:%d/", portOf(web)))
	}
	_, _ = io.WriteString(b.stdin, "echo still\n")
	if line, err := b.stdout.ReadString('\n'); err != nil || line != "still\n" {
		t.Fatalf("%q, %v", line, err)
	}
	b.stdin.Close()
	b.ended()
}

// Half a connection goes on after the other half has ended, over -W as over -L.
func TestForwardHalfClose(t *testing.T) {
	u := newSSHUser(t, forwards(nil))
	sums := make(chan string, 2)
	port := accepting(t, func(conn net.Conn) {
		sum := sha256.New()
		_, _ = io.Copy(sum, conn) // until the other side has said all
		text := hex.EncodeToString(sum.Sum(nil))
		sums <- text
		_, _ = io.WriteString(conn, text+"\n")
	})
	text := strings.Repeat("0123456789abcdef", 1<<17)
	sum := sha256.Sum256([]byte(text))
	want := hex.EncodeToString(sum[:])
	if got := u.call(text, u.ssh, "-W", fmt.Sprintf("127.0.0.1:%d", port), "myhost"); got.code != 0 || got.stdout != want+"\n" || <-sums != want {
		t.Errorf("-W: %+v", got)
	}
	address, _ := u.forwarded(port)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != want+"\n" {
		t.Errorf("-L: %q, %v", got, err)
	}
}

// A connection that is shared carries forwards, too.
func TestForwardShared(t *testing.T) {
	need(t, "curl")
	u := newSSHUser(t, forwards(nil))
	web := website(t, "tcp", "127.0.0.1:0")
	port := fmt.Sprint(freePort(t))
	share := []string{"-oControlMaster=auto", "-oControlPersist=60", "-oControlPath=" + filepath.Join(u.dir, "ctl")}
	t.Cleanup(func() { u.call("", append(append([]string{u.ssh, "-O", "exit"}, share...), "myhost")...) })
	line := append([]string{u.ssh, "-v"}, share...)
	b := u.start(append(line, "-L", fmt.Sprintf("%s:127.0.0.1:%d", port, portOf(web)), "myhost", "echo begun; cat")...)
	if text, err := b.stdout.ReadString('\n'); err != nil || text != "begun\n" {
		t.Fatalf("%q, %v\n%s", text, err, b.stderr)
	}
	u.curl("http://127.0.0.1:" + port + "/")
	if !strings.Contains(b.stderr.String(), "over a shared connection") {
		t.Error("it is not shared")
	}
	b.stdin.Close()
	b.ended()
}

// What a source no longer allows ends, is told, and leaves the program alone.
func TestForwardTakenAway(t *testing.T) {
	u := newSSHUser(t, forwards(nil))
	port := freePort(t)
	b := u.start(u.ssh, "-L", fmt.Sprintf("%d:127.0.0.1:%d", port, echoing(t)), "myhost", "echo begun; cat; exit 6")
	if line, err := b.stdout.ReadString('\n'); err != nil || line != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	u.allow("debug", object{"shell": true, "exec": true})
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("it goes on with %d bytes", n)
	}
	u.waitFor("the person to be told", func() bool { return strings.Contains(b.stderr.String(), "nothing is forwarded any more: ") })
	_, _ = io.WriteString(b.stdin, "still here\n")
	if line, err := b.stdout.ReadString('\n'); err != nil || line != "still here\n" {
		t.Errorf("%q, %v", line, err)
	}
	b.stdin.Close()
	b.ended()
	if b.state.ExitCode() != 6 {
		t.Errorf("it ends with %v", b.state)
	}
}
