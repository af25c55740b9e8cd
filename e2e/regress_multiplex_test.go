package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A master that nothing runs in carries what others ask it for, until it is told
// to end: multiplex.sh. Where it is met follows from the target; the path says whether.
func TestRegressMultiplex(t *testing.T) {
	need(t, "curl")
	u := newSSHUser(t, forwards(nil))
	dir := openDir(t)
	web := website(t, "tcp", "127.0.0.1:0")
	to := fmt.Sprintf("127.0.0.1:%d", portOf(web))
	ctl := filepath.Join(u.dir, "ctl")
	control := func(what string, args ...string) result {
		t.Helper()
		return u.call("", append(append([]string{u.ssh, "-S", ctl, "-O", what}, args...), "myhost")...)
	}
	master := u.start(u.ssh, "-N", "-n", "-M", "-S", ctl, "myhost")
	u.waitFor("the master", func() bool { return control("check").code == 0 })
	if got := control("check"); !strings.Contains(got.stderr, "Master running (pid=") {
		t.Errorf("check: %+v", got)
	}
	if got := u.call("in", u.ssh, "-M", "-S", ctl, "myhost", "cat; echo err >&2; exit 4"); got.code != 4 || got.stdout != "in" || !strings.Contains(got.stderr, "err") {
		t.Errorf("a program: %+v", got)
	}
	gone := func(what string, args ...string) {
		t.Helper()
		u.waitFor(what+" to be gone", func() bool { return u.call("", append([]string{"curl", "-sS", "-m", "5"}, args...)...).code != 0 })
	}
	port := fmt.Sprint(freePort(t))
	for _, c := range []struct{ option, fetch []string }{
		{[]string{"-L", port + ":" + to}, []string{"http://127.0.0.1:" + port}},
		{[]string{"-R", port + ":" + to}, []string{"http://127.0.0.1:" + port}},
		{[]string{"-D", port}, []string{"--socks5-hostname", "127.0.0.1:" + port, "http://" + to}},
		{[]string{"-L", dir + "/l:" + to}, []string{"--unix-socket", dir + "/l", "http://web"}},
		{[]string{"-R", dir + "/r:" + to}, []string{"--unix-socket", dir + "/r", "http://web"}},
	} {
		if got := control("forward", c.option...); got.code != 0 {
			t.Errorf("forward %q: %+v", c.option, got)
			continue
		}
		u.curl(c.fetch...)
		if got := u.must(agentBin, "share", "status"); !strings.Contains(got, strings.Join(c.option, " ")) {
			t.Errorf("status: %s", got)
		}
		if got := control("cancel", c.option...); got.code != 0 {
			t.Errorf("cancel %q: %+v", c.option, got)
		}
		gone(strings.Join(c.option, " "), c.fetch...)
		if got := control("cancel", c.option...); got.code != 255 || !strings.Contains(got.stderr, "nothing listens for that") {
			t.Errorf("cancel %q again: %+v", c.option, got)
		}
	}
	got := control("forward", "-R", "0:"+to)
	if got.code != 0 {
		t.Fatalf("forward: %+v", got)
	}
	u.curl("http://127.0.0.1:" + strings.TrimSpace(got.stdout))
	if got := control("forward", "-L", fmt.Sprintf("%d:%s", portOf(web), to)); got.code != 255 || !strings.Contains(got.stderr, "in use") {
		t.Errorf("where something listens: %+v", got)
	}
	if got := control("exit"); got.code != 0 || !strings.Contains(got.stderr, "Exit request sent.") {
		t.Errorf("exit: %+v", got)
	}
	master.ended()
	gone("what it forwarded", "http://127.0.0.1:"+strings.TrimSpace(got.stdout))
	if got := control("forward", "-L", port+":"+to); got.code != 255 || !strings.Contains(got.stderr, "No such file") {
		t.Errorf("without a master: %+v", got)
	}
}

// Connections go over forwards that go over others: forwarding.sh. The same is
// listened for once, whichever direction.
func TestRegressForwarding(t *testing.T) {
	need(t, "curl")
	u := newSSHUser(t, forwards(nil))
	web := website(t, "tcp", "127.0.0.1:0")
	to := fmt.Sprintf("127.0.0.1:%d", portOf(web))
	ports := make([]int, 4)
	for i := range ports {
		ports[i] = freePort(t)
	}
	link := func(from, to int) string { return fmt.Sprintf("127.0.0.1:%d:127.0.0.1:%d", from, to) }
	u.start(u.ssh, "-N", "-L", link(ports[0], ports[1]), "-R", link(ports[1], ports[2]), "-L", link(ports[2], ports[3]), "-R", link(ports[3], portOf(web)), "myhost")
	for _, port := range ports {
		u.listens(fmt.Sprint(port))
	}
	u.curl(fmt.Sprintf("http://127.0.0.1:%d", ports[0]))

	for _, d := range []string{"-L", "-R"} {
		p := fmt.Sprint(freePort(t))
		if got := u.call("", u.ssh, "-oExitOnForwardFailure=yes", d, p+":"+to, "myhost", "echo on"); got.code != 0 || got.stdout != "on\n" {
			t.Errorf("%s: %+v", d, got)
		}
		if got := u.call("", u.ssh, "-q", "-oExitOnForwardFailure=yes", d, p+":"+to, d, p+":localhost:1", "myhost", "echo on"); got.code != 255 || got.stdout != "" {
			t.Errorf("%s twice: %+v", d, got)
		}
		if got := u.call("", u.ssh, "-oClearAllForwardings=yes", d, p+":"+to, "myhost", "echo on"); got.code != 0 || got.stdout != "on\n" || got.stderr != "" {
			t.Errorf("%s, cleared: %+v", d, got)
		}
		if conn, err := net.Dial("tcp", "127.0.0.1:"+p); err == nil {
			conn.Close()
			t.Errorf("%s goes on", d)
		}
	}
}

// A proxy that listens there leads to where the person here permits:
// dynamic-forward.sh.
func TestRegressDynamicForward(t *testing.T) {
	need(t, "curl")
	u := newSSHUser(t, forwards(nil))
	web := website(t, "tcp", "127.0.0.1:0")
	to := fmt.Sprintf("127.0.0.1:%d", portOf(web))
	for permitted, reached := range map[string]bool{"any": true, "none": false, to: true, "localhost:*": false, "*:" + fmt.Sprint(portOf(web)): true, "127.0.0.1:1 localhost:2": false} {
		b := u.start(u.ssh, "-N", "-oExitOnForwardFailure=yes", "-oPermitRemoteOpen="+permitted, "-R", "127.0.0.1:0", "myhost")
		port := b.allocated()
		for _, kind := range []string{"--socks4", "--socks5"} {
			got := u.call("", "curl", "-sS", "-m", "20", kind, "127.0.0.1:"+port, "http://"+to)
			if (got.code == 0) != reached {
				t.Errorf("%s, %s: %+v", permitted, kind, got)
			}
		}
		b.end(syscall.SIGTERM)
	}
}

// Through a jump host that is lost again and again nothing is lost of what goes on
// to the next.
func TestJumpThroughCuts(t *testing.T) {
	u := newSSHUser(t, forwards(nil))
	proxy := newCutting(t, u.port, faults{cuts: 8})
	u.targets = object{"bastion": object{"hostname": "127.0.0.1", "port": proxy.port(), "source": "debug"}}
	u.inner("inner", object{"jump": "bastion"})
	for _, name := range []string{"bastion", "inner"} {
		u.must(u.ssh, "-oStrictHostKeyChecking=accept-new", name, "true")
	}
	const size = 12 << 20
	b := u.start(u.ssh, "inner", "echo begun; cat")
	if line, err := b.stdout.ReadString('\n'); err != nil || line != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	proxy.arm()
	proxy.cutAll()
	sent, received := sha256.New(), sha256.New()
	given := make(chan struct{})
	go func() {
		defer close(given)
		_, _ = io.CopyN(io.MultiWriter(b.stdin, sent), rand.NewChaCha8([32]byte{9}), size)
		b.stdin.Close()
	}()
	n, err := io.Copy(received, b.stdout)
	b.ended()
	<-given
	if err != nil || n != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Errorf("%d bytes came back of %d, %v", n, size, err)
	}
	if b.state.ExitCode() != 0 || proxy.made.Load() == 0 {
		t.Errorf("it ends with %v after %d cuts", b.state, proxy.made.Load())
	}
}
