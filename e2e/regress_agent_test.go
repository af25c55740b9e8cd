package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// held is a session through ssh that answers line by line.
type held struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *syncBuffer
}

func (u *sshUser) held(args ...string) *held {
	u.t.Helper()
	s := &held{t: u.t, cmd: exec.Command(u.ssh, append(args, "myhost", "cat")...), out: &syncBuffer{}}
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = u.env, s.out, s.out
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		u.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	return s
}

// echoes fails the test unless the session is alive.
func (s *held) echoes(word string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, word); err != nil {
		s.t.Error(err)
	}
	if !eventually(20*time.Second, func() bool { return strings.Contains(s.out.String(), word+"\n") }) {
		s.t.Errorf("no %q comes back: %s", word, s.out)
	}
}

func (s *held) end() {
	s.t.Helper()
	s.in.Close()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("%v: %s", err, s.out)
	}
}

// Connections that say nothing keep nobody out, however many they are, and are
// closed after a while.
func TestRegressLoginTimeout(t *testing.T) {
	t.Parallel() // it mostly waits
	u := newSSHUser(t, nil)
	var silent []net.Conn
	for range 300 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", u.port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	if got := u.call("", u.ssh, "-oConnectTimeout=20", "myhost", "echo in"); got.stdout != "in\n" {
		t.Errorf("beside connections that say nothing: %+v", got)
	}
	last := silent[len(silent)-1]
	if err := last.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := last.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("after a minute: %d bytes, %v", n, err)
	}
	// A client that stalls at its sign-in is given up by itself.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if got := u.call("", u.ssh, "-oConnectTimeout=1", "-p", port, "-oStrictHostKeyChecking=no", "myhost", "true"); got.code != 255 {
		t.Errorf("an agent that says nothing: %+v", got)
	}
}

// A reload changes what is allowed for those to come, and lives sessions go on.
func TestRegressReconfigure(t *testing.T) {
	u := newSSHUser(t, nil)
	before := u.cmd.Process.Pid
	live := u.held()
	live.echoes("before")
	for i := range 3 {
		name := fmt.Sprintf("new%d", i)
		if got := u.call("", u.ssh, name+"@myhost", "true"); got.code != 255 {
			t.Errorf("a source that is not there: %+v", got)
		}
		u.reconfigure(func(c object) { c["sources"].(object)[name] = u.debugSource() })
		if got := u.operator("reload"); got.code != 0 {
			t.Fatalf("%+v", got)
		}
		if got := u.call("", u.ssh, name+"@myhost", "echo in"); got.stdout != "in\n" {
			t.Errorf("after the reload: %+v", got)
		}
		live.echoes(name)
	}
	// A configuration that is broken changes nothing.
	good, err := os.ReadFile(u.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(u.config, []byte("{ broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := u.operator("reload"); got.code == 0 {
		t.Errorf("broken: %+v", got)
	}
	if got := u.call("", u.ssh, "new0@myhost", "echo in"); got.stdout != "in\n" || u.cmd.Process.Pid != before {
		t.Errorf("with a broken file: %+v", got)
	}
	if err := os.WriteFile(u.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	live.echoes("after")
	live.end()
}

// The agent goes on from its file after that was replaced, and without it after it
// was removed.
func TestRegressReexec(t *testing.T) {
	h := upgradable(t, nil)
	u := h.sshUser()
	live := u.held()
	live.echoes("one")
	h.install(nil)
	if got := u.call("", u.ssh, "myhost", "echo in"); got.stdout != "in\n" {
		t.Errorf("with another file in its place: %+v", got)
	}
	if got := u.operator("reload"); got.code != 0 {
		t.Errorf("the change of programs: %+v", got)
	}
	live.echoes("two")
	if err := os.Remove(h.program()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if got := u.call("", u.ssh, "myhost", "echo", fmt.Sprint(i)); got.stdout != fmt.Sprintln(i) {
			t.Errorf("without its file: %+v", got)
		}
	}
	if got := u.call("pwd\n", "sftp", "-q", "-S", u.ssh, "-b", "-", "myhost"); got.code != 0 {
		t.Errorf("sftp, without its file: %+v", got)
	}
	live.echoes("three")
	live.end()
}

// An address whose keys are refused again and again waits, and nobody else does: a
// key that is taken is let in from there at once.
func TestRegressPenalty(t *testing.T) {
	u := newSSHUser(t, nil)
	u.run0(agentBin, "keys", "generate", "--batch", "-o", u.dir+"/stranger")
	refused := func() result {
		return u.call("", u.ssh, "-i", u.dir+"/stranger", "-oIdentitiesOnly=yes", "-F", u.strangersConfig(), "myhost", "true")
	}
	for range 6 { // each waits longer
		if got := refused(); got.code != 255 {
			t.Fatalf("a key that nobody knows: %+v", got)
		}
	}
	if got := u.call("", u.ssh, "myhost", "echo in"); got.stdout != "in\n" {
		t.Errorf("a key that is taken, from the same address: %+v", got)
	}
	if got := u.call("", u.ssh, "-b", "127.0.0.9", "myhost", "echo in"); got.stdout != "in\n" {
		t.Errorf("from another address: %+v", got)
	}
}

// strangersConfig is a client's configuration without a key.
func (u *sshUser) strangersConfig() string {
	path := u.dir + "/stranger.json"
	u.writeJSON(path, object{"targets": object{"myhost": object{"hostname": "127.0.0.1", "port": u.port, "source": "debug"}}})
	return path
}
