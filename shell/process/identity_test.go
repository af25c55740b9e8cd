package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

func init() { parts["regain root"] = regainRoot }

// regainRoot tries what a program would try that was root once.
func regainRoot() int {
	for name, err := range map[string]error{
		"setuid":    syscall.Setuid(0),
		"setgid":    syscall.Setgid(0),
		"setresuid": syscall.Setresuid(-1, 0, -1),
		"setgroups": syscall.Setgroups([]int{0}),
		"chroot":    syscall.Chroot("/"),
		"shadow":    func() error { _, err := os.Open("/etc/shadow"); return err }(),
	} {
		if err == nil {
			fmt.Println("could", name)
		}
	}
	status, _ := os.ReadFile("/proc/self/status")
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		v, _ := statusField(status, set)
		fmt.Println(set, v)
	}
	return 0
}

// everybodysCopy copies the test binary to where every user may run it.
func everybodysCopy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shellagent-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "process.test")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run(t, "cp", exe, file)
	run(t, "chmod", "755", file)
	return file
}

// TestAsOrdinaryUser runs all tests again as a user without privileges, in a
// cgroup that was delegated to that user where cgroups can be made.
func TestAsOrdinaryUser(t *testing.T) {
	who := other(t)
	cmd := exec.Command(everybodysCopy(t), fmt.Sprintf("-test.v=%v", testing.Verbose()))
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "HOME="+who.Home, "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.UID, Gid: who.GID, Groups: who.Groups}}
	if h := newHost(t, HostConfig{}); h.groups != nil {
		g := delegated(t, h, who)
		_, release, err := g.place(cmd.SysProcAttr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// delegated makes a cgroup in which the user may make others.
func delegated(t *testing.T, h *Host, who shell.Credential) *cgroup {
	t.Helper()
	g, err := h.groups.make(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.kill()
		eventually(t, "the delegated group is empty", g.empty)
		g.discard()
	})
	for _, file := range []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} {
		if err := os.Chown(filepath.Join(g.dir, file), int(who.UID), int(who.GID)); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestRunsAsTheUser(t *testing.T) {
	who := other(t)
	h := newHost(t, HostConfig{})
	ask := script(who, "id -un; id -gn; id -G; umask; pwd; ulimit -c")
	ask.Dir = ""
	ids, err := exec.Command("id", "-G", who.User).Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(strings.Fields(string(ids))) < 3 {
		t.Fatalf("the account has no supplementary groups: %s", ids)
	}
	core, err := exec.Command("bash", "-c", "ulimit -c").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s\n%s\n%s0022\n%s\n%s", who.User, who.Group, ids, who.Home, core)
	for _, term := range []*shell.Terminal{nil, terminal80()} {
		out, exit := result(t, h, ask, term)
		if out = strings.ReplaceAll(out, "\r\n", "\n"); out != want || exit != (shell.Exit{}) {
			t.Errorf("terminal %v: %q, %+v, want %q", term, out, exit, want)
		}
	}
}

func TestNeedsRootToRunAsAnother(t *testing.T) {
	if os.Geteuid() == 0 {
		return // TestAsOrdinaryUser runs it
	}
	h := newHost(t, HostConfig{})
	for _, change := range []func(*shell.Credential){
		func(c *shell.Credential) { c.UID = 0 },
		func(c *shell.Credential) { c.GID = 0 },
	} {
		who := self(t)
		change(&who)
		if _, err := h.Start(context.Background(), command(who, "true"), nil, Options{}); err == nil || !strings.Contains(err.Error(), "run the agent as root") {
			t.Errorf("%+v: %v", who, err)
		}
	}
}

func TestRootCannotBeRegained(t *testing.T) {
	who := other(t)
	g := command(who, everybodysCopy(t))
	g.Env = append(g.Env, part+"=regain root")
	h := newHost(t, HostConfig{})
	const none = "0000000000000000"
	want := "CapInh " + none + "\nCapPrm " + none + "\nCapEff " + none + "\nCapAmb " + none + "\n"
	if out, _ := result(t, h, g, nil); out != want {
		t.Errorf("a program of another user: %q", out)
	}
}

func TestNoCapabilityIsInherited(t *testing.T) {
	who := other(t)
	g := command(who, everybodysCopy(t))
	g.Env = append(g.Env, part+"=regain root")
	h := newHost(t, HostConfig{})
	// Threads are started from the one that has them, as in an agent that was
	// started with them; the one that asks is this one.
	cmd := exec.Command("grep", "CapAmb", "/proc/self/status")
	cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{unix.CAP_NET_BIND_SERVICE}}
	if out, err := cmd.Output(); err != nil || strings.Contains(string(out), "0000000000000000") {
		t.Fatalf("ambient capabilities cannot be had here: %s %v", out, err)
	}
	agent := playPart("ambient agent")
	agent.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{unix.CAP_NET_BIND_SERVICE}}
	out, err := agent.Output()
	if err != nil || strings.TrimSpace(string(out)) != "0000000000000000 0000000000000000" {
		t.Errorf("an agent with ambient capabilities gave %q, %v", out, err)
	}
	if out, _ := result(t, h, g, nil); strings.Contains(out, "could") {
		t.Error(out)
	}
}

func TestChildInheritsNothingElse(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)

	t.Run("descriptors", func(t *testing.T) {
		file, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		leak, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD, 100) // as one that was inherited
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(leak)
		if err := CloseInherited(); err != nil {
			t.Fatal(err)
		}
		out, _ := result(t, h, command(who, "ls", "/proc/self/fd"), nil)
		if out != "0\n1\n2\n3\n" { // the last is what ls reads
			t.Errorf("descriptors %q", out)
		}
	})
	t.Run("environment", func(t *testing.T) {
		t.Setenv("AGENT_SECRET", "x")
		g := command(who, "env")
		g.Env = []string{"A=1", "SSH_TTY=/dev/forged", "B=2 3", markVariable + "=forged"}
		out, _ := result(t, h, g, nil)
		out = strings.ReplaceAll(out, markVariable+"="+lookUp(strings.Split(out, "\n"), markVariable)+"\n", "")
		if out != "A=1\nB=2 3\n" {
			t.Errorf("environment %q", out)
		}
		g.Env = nil
		if out, _ := result(t, h, g, nil); strings.Contains(out, "AGENT_SECRET") || strings.Contains(out, "PATH=") {
			t.Errorf("without an environment, the agent's: %q", out)
		}
	})
	t.Run("umask", func(t *testing.T) {
		old := unix.Umask(0o077)
		defer unix.Umask(old)
		if out, _ := result(t, h, script(who, "umask"), nil); out != "0022\n" {
			t.Errorf("umask %q", out)
		}
		if now := unix.Umask(0o077); now != 0o077 {
			t.Errorf("the agent's umask became %#o", now)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		g := command(who, "cat", "/proc/self/cmdline")
		g.Argv[0] = "-login"
		if out, _ := result(t, h, g, nil); out != "-login\x00/proc/self/cmdline\x00" {
			t.Errorf("arguments %q", out)
		}
	})
}
