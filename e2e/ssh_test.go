package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sshUser is a person whose ssh is a link to the agent, and the agent's host.
type sshUser struct {
	*host
	ssh string   // the link
	env []string // of this person's programs
	// targets are those of a test that adds some; see addTarget.
	targets object
}

// newSSHUser starts an agent with the target myhost and the source debug.
func newSSHUser(t *testing.T, edit func(h *host, config object)) *sshUser {
	t.Helper()
	h := startHost(t, func(h *host, config object) {
		config["sources"].(object)["debug"].(object)["acceptEnv"] = []string{"GIT_PROTOCOL", "LC_*"}
		if edit != nil {
			edit(h, config)
		}
	})
	return h.sshUser()
}

// sshUser is the person of an agent that was started.
func (h *host) sshUser() *sshUser {
	t := h.t
	t.Helper()
	bin := filepath.Join(h.dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	u := &sshUser{host: h, ssh: filepath.Join(bin, "ssh")}
	if err := os.Symlink(agentBin, u.ssh); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(h.dir, "config", "shellagent")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	client, err := os.ReadFile(h.client)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "config.json"), client, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, variable := range h.env("LC_ALL=C.UTF-8") {
		if path, is := strings.CutPrefix(variable, "PATH="); is {
			variable = "PATH=" + bin + ":" + path
		}
		u.env = append(u.env, variable)
	}
	if got := u.call("", u.ssh, "-oStrictHostKeyChecking=accept-new", "myhost", "true"); got.code != 0 {
		t.Fatalf("first contact: %+v", got)
	}
	return u
}

// call runs one of the person's programs to its end.
func (u *sshUser) call(stdin string, line ...string) result {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = strings.NewReader(stdin), &stdout, &stderr, u.env, u.dir
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return u.finish(err, cmd, &stdout, &stderr)
}

// must runs one that has to succeed, and returns what it printed.
func (u *sshUser) must(line ...string) string {
	u.t.Helper()
	got := u.call("", line...)
	if got.code != 0 {
		u.t.Fatalf("%s: code %d\n%s%s", strings.Join(line, " "), got.code, got.stdout, tail(got.stderr, 4000))
	}
	return got.stdout
}

// remoteDir is a directory of the source's user.
func (u *sshUser) remoteDir() string {
	u.t.Helper()
	dir := strings.TrimSpace(u.must(u.ssh, "myhost", "mktemp -d"))
	u.t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestSSHBehavesLikeSSH(t *testing.T) {
	u := newSSHUser(t, nil)
	port := fmt.Sprint(u.port)
	closed := fmt.Sprint(freePort(t))
	for _, c := range []struct {
		name, stdin string
		args        []string
		stdout      string
		stderr      string // a part of it
		code        int
	}{
		{"words are joined for a shell", "", []string{"myhost", "echo", "a   b", "$((1+1))", "'c   d'"}, "a b 2 c   d\n", "", 0},
		{"options before and after the host", "", []string{"-x", "-oForwardX11 no", "myhost", "-oNoSuchThing=yes", "-T", "--", "echo", "-n", "x"}, "x", "", 0},
		{"the user is the source", "", []string{"debug@myhost", "echo x"}, "x\n", "", 0},
		{"-l", "", []string{"-l", "debug", "myhost", "echo x"}, "x\n", "", 0},
		{"User, quoted", "", []string{"-o", `User="debug"`, "myhost", "echo x"}, "x\n", "", 0},
		{"a URI, and a host that is no target", "", []string{"-oStrictHostKeyChecking=no", "ssh://debug@localhost:" + port, "echo x"}, "x\n", "", 0},
		{"HostName", "", []string{"-oStrictHostKeyChecking=no", "-oHostName=localhost", "-p", port, "debug@nosuch.invalid", "echo x"}, "x\n", "", 0},
		{"an unknown source", "", []string{"nosuch@myhost", "true"}, "", "refused", 255},
		{"standard input", "one\ntwo", []string{"myhost", "cat; echo err >&2"}, "one\ntwo", "err\n", 0},
		{"-n", "one", []string{"-n", "myhost", "cat"}, "", "", 0},
		{"a script on standard input", "echo $0; exit 3\n", []string{"-q", "myhost"}, "-bash\n", "", 3},
		{"the exit code", "", []string{"myhost", "exit 42"}, "", "", 42},
		{"a code like a signal's", "", []string{"myhost", "exit 137"}, "", "", 137},
		{"a signal", "", []string{"myhost", "kill -9 $$"}, "", "", 255},
		{"no such command", "", []string{"myhost", "no-such-command"}, "", "no-such-command", 127},
		{"nobody listens", "", []string{"-p", closed, "myhost", "true"}, "", "refused", 255},
		{"no terminal to be had", "", []string{"-t", "myhost", "tty || true"}, "not a tty\n", "Pseudo-terminal will not be allocated", 0},
		{"-tt", "", []string{"-tt", "myhost", "test -t 0 && test -t 1 && echo yes"}, "yes\r\n", "", 0},
		{"RequestTTY=force", "", []string{"-oRequestTTY=force", "myhost", "test -t 1 && echo yes"}, "yes\r\n", "", 0},
		{"RemoteCommand", "", []string{"-oRemoteCommand=echo %n %r %%", "myhost"}, "myhost debug %\n", "", 0},
		{"SetEnv, as the source takes it", "", []string{"-oSetEnv=LC_A=1 NO=2", "myhost", "echo $LC_A $NO"}, "1\n", "", 0},
		{"SendEnv", "", []string{"-oSendEnv=LC_*", "myhost", "echo $LC_ALL"}, "C.UTF-8\n", "", 0},
		{"ProxyCommand", "", []string{"-oProxyCommand=busybox nc %h %p", "myhost", "echo x"}, "x\n", "", 0},
		{"ProxyCommand that fails", "", []string{"-oProxyCommand=echo down >&2; false", "-oUserKnownHostsFile=/dev/null", "myhost", "true"}, "", "down", 255},
		{"an agent that is not known", "", []string{"-oUserKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=yes", "myhost", "true"}, "", "is not known", 255},
		{"nothing is remembered", "", []string{"-oUserKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=no", "myhost", "echo x"}, "x\n", "", 0},
		{"addresses", "", []string{"-4", "-b", "127.0.0.1", "myhost", "echo x"}, "x\n", "", 0},
		{"-i that is there", "", []string{"-i", u.key, "-oIdentitiesOnly=yes", "myhost", "echo x"}, "x\n", "", 0},
		{"-i that is not there", "", []string{"-i", "/no/such/key", "myhost", "echo x"}, "x\n", "not accessible", 0},
		{"-F of ours", "", []string{"-F", u.client, "myhost", "echo x"}, "x\n", "", 0},
		{"-F that is not there", "", []string{"-F", "/no/such/file", "myhost", "echo x"}, "", "/no/such/file", 255},
		{"no target", "", []string{"web1", "true"}, "", `"targets": {"web1"`, 255},
		{"-V", "", []string{"-V"}, "", "OpenSSH_9.9-compatible, Shell Agent ", 0},
		{"no host", "", []string{"-o", "ControlPersist"}, "", `no argument after keyword "controlpersist"`, 255},
		{"nothing at all", "", nil, "", "usage:", 255},
		{"-O without a master", "", []string{"-O", "check", "-S", "/no/socket", "myhost"}, "", "Control socket connect(/no/socket): No such file or directory", 255},
		{"sharing is taken", "", []string{"-M", "-S", "none", "-oControlPersist=60s", "myhost", "echo x"}, "x\n", "", 0},
		{"a subsystem that is none", "", []string{"-s", "myhost", "netconf"}, "", "-s netconf: ", 255},
		{"compressed", "", []string{"-C", "myhost", "echo x"}, "x\n", "", 0},
		{"-w", "", []string{"-w", "any", "myhost", "true"}, "", "-w: Shell Agent has no tunnels", 255},
		{"-L, cleared", "", []string{"-L", "1:a:2", "-oClearAllForwardings=yes", "myhost", "echo x"}, "x\n", "", 0},
		{"-J, no target", "", []string{"-J", "web1", "myhost", "true"}, "", `"targets": {"web1"`, 255},
		{"-J, malformed", "", []string{"-J", "a,", "myhost", "true"}, "", "Invalid -J argument", 255},
		{"-W, not allowed", "", []string{"-W", "a:1", "myhost"}, "", "the source does not allow forward", 255},
		{"-L, malformed", "", []string{"-L", "1:a", "myhost", "true"}, "", "Bad local forwarding specification '1:a'", 255},
		{"-A, without an ssh-agent", "", []string{"-A", "myhost", "echo x"}, "x\n", "", 0},
		{"-Q", "", []string{"-Q", "protocol-version"}, "2\n", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := u.call(c.stdin, append([]string{u.ssh}, c.args...)...)
			if got.stdout != c.stdout || got.code != c.code || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("stdout %q, stderr %q, code %d; want %q, …%q…, %d", got.stdout, got.stderr, got.code, c.stdout, c.stderr, c.code)
			}
		})
	}
	t.Run("-G", func(t *testing.T) {
		got := u.must(agentBin, "ssh", "-G", "-o", "SendEnv=GIT_PROTOCOL", "myhost")
		for _, line := range []string{"host myhost\n", "user debug\n", "hostname 127.0.0.1\n", "port " + port + "\n", "sendenv GIT_PROTOCOL\n", "controlmaster false\n"} {
			if !strings.Contains(got, line) {
				t.Errorf("it does not say %q:\n%s", line, got)
			}
		}
	})
	t.Run("-E", func(t *testing.T) {
		log := filepath.Join(u.dir, "log")
		got := u.call("", u.ssh, "-v", "-E", log, "myhost", "echo err >&2")
		text, err := os.ReadFile(log)
		if err != nil || got.stderr != "err\n" || !strings.Contains(string(text), "host key") {
			t.Errorf("standard error %q, log %q, %v", got.stderr, text, err)
		}
	})
}

// -f leaves the person's terminal once the session is open, with the program's
// output where it was.
func TestSSHBackground(t *testing.T) {
	u := newSSHUser(t, nil)
	dir := u.remoteDir()
	if got := u.call("x", u.ssh, "-f", "myhost", "until test -e "+dir+"/go; do sleep 0.05; done; cat; touch "+dir+"/done"); got.code != 0 {
		t.Fatalf("-f: %+v", got)
	}
	if _, err := os.Stat(dir + "/done"); err == nil {
		t.Error("-f came back after the command had ended")
	}
	if err := os.WriteFile(dir+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	u.waitFor("the command in the background", func() bool { _, err := os.Stat(dir + "/done"); return err == nil })
	if got := u.call("", u.ssh, "-f", "nosuch@myhost", "true"); got.code != 255 || !strings.Contains(got.stderr, "refused") {
		t.Errorf("-f that is refused: %+v", got)
	}
}

// -N runs nothing and stays until it is ended.
func TestSSHWithoutACommand(t *testing.T) {
	u := newSSHUser(t, nil)
	cmd := exec.Command(u.ssh, "-v", "-N", "myhost")
	log := &syncBuffer{}
	cmd.Env, cmd.Stderr = u.env, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u.waitFor("the sign-in", func() bool { return strings.Contains(log.String(), "signed in") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 255 {
		t.Errorf("it ends with %d:\n%s", code, log)
	}
}

// Two calls that share a connection as ssh's do, and -O.
func TestSSHShares(t *testing.T) {
	u := newSSHUser(t, nil)
	u.env = append(u.env, "XDG_RUNTIME_DIR="+u.dir)
	line := []string{u.ssh, "-oControlMaster=auto", "-oControlPersist=60s", "-oControlPath=" + u.dir + "/cp"}
	with := func(args ...string) []string { return append(line[:len(line):len(line)], args...) }
	control := func(what string) result { return u.call("", with("-O", what, "myhost")...) }
	if got := control("check"); got.code != 255 {
		t.Errorf("-O check before: %+v", got)
	}
	for _, code := range []int{0, 7} {
		if got := u.call("x", with("myhost", fmt.Sprintf("cat; exit %d", code))...); got.stdout != "x" || got.code != code {
			t.Errorf("a call: %+v", got)
		}
	}
	if got := u.call("", with("myhost", "kill -TERM $$")...); got.code != 255 {
		t.Errorf("a signal: %+v", got)
	}
	if got := control("check"); got.code != 0 || !strings.HasPrefix(got.stderr, "Master running (pid=") {
		t.Errorf("-O check: %+v", got)
	}
	if got := control("exit"); got.code != 0 || got.stderr != "Exit request sent.\n" {
		t.Errorf("-O exit: %+v", got)
	}
	u.waitFor("the end of sharing", func() bool { return control("check").code == 255 })
}
