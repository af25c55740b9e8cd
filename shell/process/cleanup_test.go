package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

func init() { parts["doomed agent"] = doomedAgent }

// doomedAgent starts two sessions, one of which keeps what it started, and
// waits to be killed.
func doomedAgent() int {
	h, err := NewHost(HostConfig{StateDir: os.Args[1], NoCgroup: os.Args[2] == "subreaper"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for i, text := range os.Args[3:] {
		g := shell.Grant{Path: "/bin/bash", Argv: []string{"bash", "-c", text}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}}
		g.Credential = shell.Credential{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
		g.Limits.KillOnExit = i == 0
		if _, err := h.Start(context.Background(), g, nil, Options{}); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	fmt.Println("ready")
	select {}
}

func TestCleanUp(t *testing.T) {
	for _, keeping := range []string{"cgroup", "subreaper"} {
		t.Run(keeping, func(t *testing.T) {
			state := t.TempDir()
			word, program, kept := unique(), unique(), unique()
			doomed := playPart("doomed agent", state, keeping,
				"trap '' HUP PIPE; (setsid sleep "+word+" &); (sleep "+word+" &); while :; do sleep "+word+"; done",
				"trap '' HUP PIPE; (nohup sleep "+kept+" &) ; sleep "+program)
			pipe, err := doomed.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := doomed.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = doomed.Process.Kill()
				_ = doomed.Wait()
				_, _ = CleanUp(state)
				for _, pid := range running(t, kept) {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			})
			collect(pipe).await(t, "ready")
			eventually(t, "all run", func() bool {
				return len(running(t, word)) == 3 && sleeps(t, kept) && len(running(t, program)) == 1
			})
			// While it lives, its sessions are its own.
			if ended, err := CleanUp(state); ended != 0 || err == nil || !strings.Contains(err.Error(), strconv.Itoa(doomed.Process.Pid)) {
				t.Errorf("with a living agent: %d, %v", ended, err)
			}
			if err := doomed.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = doomed.Wait()

			if ended, err := CleanUp(state); ended != 2 || err != nil {
				t.Errorf("%d sessions ended, %v", ended, err)
			}
			if pids := running(t, word); len(pids) > 0 {
				t.Errorf("%v still run", pids)
			}
			if len(running(t, kept)) != 1 {
				t.Error("what was to be kept was ended")
			}
			for _, pid := range append(running(t, kept), running(t, program)...) {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			eventually(t, "all is gone", func() bool {
				ended, err := CleanUp(state)
				left, _ := os.ReadDir(filepath.Join(state, "processes"))
				return ended == 0 && err == nil && len(left) == 0
			})
		})
	}
}

func init() {
	parts["clean up"] = func() int {
		fmt.Println(CleanUp(os.Args[1]))
		return 0
	}
}

// Whoever restarts the agent by hand from a session that the old one left must
// not be ended by the new one, nor the new one by itself.
func TestCleanUpFromWithinASession(t *testing.T) {
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	clean := func(t *testing.T, tree treeNote, enter func(*exec.Cmd)) {
		state := t.TempDir()
		d, err := openNotes(state)
		if err != nil {
			t.Fatal(err)
		}
		n := &note{
			file: filepath.Join(string(d), "left.json"),
			text: noted{Boot: boot, Agent: procNote{PID: 1, Start: 1 << 60}, Tree: tree},
		}
		if err := n.write(); err != nil {
			t.Fatal(err)
		}
		cmd := playPart("clean up", state)
		enter(cmd)
		out, err := cmd.Output()
		if err != nil || !strings.HasPrefix(string(out), "0 ") || !strings.Contains(string(out), "started from within it") {
			t.Errorf("%q, %v", out, err)
		}
	}
	t.Run("mark", func(t *testing.T) {
		clean(t, treeNote{Mark: "m1"}, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, markVariable+"=m1") })
	})
	h := newHost(t, HostConfig{})
	if h.groups == nil {
		return // as an ordinary user without a delegated cgroup
	}
	t.Run("cgroup", func(t *testing.T) {
		g, err := h.groups.make(0)
		if err != nil {
			t.Fatal(err)
		}
		defer g.discard()
		clean(t, g.describe(), func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			_, release, err := g.place(cmd.SysProcAttr, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(release)
		})
	})
}

func TestSessionsStartOnAFullDisk(t *testing.T) {
	state := t.TempDir()
	h := newHost(t, HostConfig{StateDir: state})
	if err := os.RemoveAll(state); err != nil { // nothing can be written there now
		t.Fatal(err)
	}
	if out, exit := result(t, h, command(self(t), "echo", "in"), nil); out != "in\n" || exit.Code != 0 {
		t.Errorf("%q, %+v", out, exit)
	}
}

func TestNotesThatAreNone(t *testing.T) {
	state := t.TempDir()
	for _, dir := range []string{"", state, filepath.Join(state, "none")} {
		if ended, err := CleanUp(dir); ended != 0 || err != nil {
			t.Errorf("state directory %q: %d, %v", dir, ended, err)
		}
	}
	h := newHost(t, HostConfig{StateDir: state})
	result(t, h, command(self(t), "true"), nil)
	dir := filepath.Join(state, "processes")
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a session that ended is still noted: %v", left)
	}
	for name, text := range map[string]string{
		"empty.json":  "",
		"cgroup.json": `{"boot":"b","agent":{"pid":1,"start":1},"tree":{"cgroup":"/sys/fs/cgroup"}}`,
		"both.json":   `{"boot":"b","agent":{"pid":1,"start":1},"tree":{"cgroup":"/x/shellagent-x","mark":"m"}}`,
		"up.json":     `{"boot":"b","agent":{"pid":1,"start":1},"tree":{"cgroup":"/x/shellagent-x/../../y"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := `{"boot":"another boot","agent":{"pid":1,"start":1},"tree":{"mark":"m"}}`
	if err := os.WriteFile(filepath.Join(dir, "old.json"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, err := CleanUp(state)
	if ended != 0 || err == nil || strings.Count(err.Error(), "remove it") != 4 {
		t.Errorf("%d, %v", ended, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "old.json")); !os.IsNotExist(err) {
		t.Error("a note of another boot is still there")
	}
}
