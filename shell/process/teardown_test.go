package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// escapes are ways in which a process may leave its parent, its group, its
// session, its terminal and its environment.
var escapes = map[string]string{
	"a job":                       `sleep %s & `,
	"nohup":                       `nohup sleep %s >/dev/null 2>&1 & `,
	"setsid":                      `setsid sleep %s & `,
	"setsid without a terminal":   `setsid sleep %s </dev/null >/dev/null 2>&1 & `,
	"double fork":                 `( (sleep %s &) & ) `,
	"setsid and double fork":      `(setsid bash -c 'sleep %s & exit' &) `,
	"without its environment":     `(setsid env -i sleep %s </dev/null >/dev/null 2>&1 &) `,
	"deaf":                        `(trap '' HUP TERM INT; setsid sleep %s &) `,
	"stopped":                     `sleep %s & until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $!; `,
	"a child of one that setsids": `setsid bash -c 'while :; do sleep %s; done' & `,
}

func TestTheWholeTreeEnds(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		for name, escape := range escapes {
			for _, term := range []*shell.Terminal{nil, terminal80()} {
				t.Run(fmt.Sprintf("%s, terminal %v", name, term != nil), func(t *testing.T) {
					word := unique()
					s := begin(t, h, script(self(t), fmt.Sprintf(escape, word)+"\necho ready; read x"), term)
					s.out.await(t, "ready")
					eventually(t, "the escapee runs", func() bool { return len(running(t, word)) > 0 })
					s.grace = 20 * time.Millisecond
					s.give("\n")
					if exit := s.Wait(); exit.Code != 0 {
						t.Errorf("%+v", exit)
					}
					s.Close()
					if pids := running(t, word); len(pids) > 0 {
						t.Errorf("%v still run", pids)
					}
				})
			}
		}
	})
}

// What forks faster than it is killed one by one must end all the same. Only a
// cgroup can promise that.
func TestARelayEnds(t *testing.T) {
	h := newHost(t, HostConfig{})
	if h.groups == nil {
		t.Skip("needs root: no cgroup can be made here, and none was delegated")
	}
	word := unique()
	// Each process lives for a moment and starts its successor first, in a
	// session of its own: there are never many, and never the same.
	file := files(t, map[string]string{"relay": "#!/bin/bash\n# $1 is for the test\ntrap '' HUP\nsetsid \"$0\" \"$1\" &\nsleep 0.002\n"}) + "/relay"
	s := begin(t, h, script(self(t), "for i in 1 2 3 4 5; do "+file+" "+word+" & done; echo ready; read x"), nil)
	s.out.await(t, "ready")
	s.HangUp(0)
	s.finish()
	if pids := running(t, word); len(pids) > 0 {
		t.Errorf("%v still run", pids)
	}
	if alive := s.tree.empty(); !alive {
		t.Error("the tree is not empty")
	}
}

func TestWithoutKillOnExit(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		for _, term := range []*shell.Terminal{nil, terminal80()} {
			word, plain := unique(), unique()
			g := script(self(t), "nohup sleep "+word+" </dev/null >/dev/null 2>&1 & echo ready; sleep "+plain)
			g.Limits.KillOnExit = false
			s := begin(t, h, g, term)
			s.out.await(t, "ready")
			eventually(t, "both run", func() bool {
				return sleeps(t, word) && len(running(t, plain)) > 0
			})
			s.HangUp(patience)
			s.finish()
			eventually(t, "what does not ignore HUP is gone", func() bool { return len(running(t, plain)) == 0 })
			pids := running(t, word)
			if len(pids) != 1 {
				t.Fatalf("nohup was ended, or more than it is left: %v", pids)
			}
			// Another session's end does not take it.
			result(t, h, script(self(t), "true"), nil)
			if len(running(t, word)) != 1 {
				t.Error("nohup was ended with another session")
			}
			if err := unix.Kill(pids[0], unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "nothing is left", func() bool { return len(running(t, word)) == 0 })
		}
		if h.groups != nil {
			eventually(t, "the groups are removed", func() bool {
				h.groups.sweep()
				return len(h.groups.left) == 0
			})
		}
	})
}

// sleeps says whether what has a word among its arguments has become sleep(1), and
// is nohup(1) no more: that ignores no signal at first, and when it becomes another
// program it has no arguments for a moment.
func sleeps(t *testing.T, word string) bool {
	for _, pid := range running(t, word) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && string(line) == "sleep\x00"+word+"\x00" {
			return true
		}
	}
	return false
}

// On pipes what the program left behind may still write, as under sshd.
func TestPipesAreWaitedFor(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		out, exit := result(t, h, script(self(t), "(sleep 0.2; echo late) & echo early; exit 4"), nil)
		if out != "early\nlate\n" || exit.Code != 4 {
			t.Errorf("%q %+v", out, exit)
		}
	})
}

// The agent buries what it adopted, and takes nobody's exit status.
func TestOrphansAreReaped(t *testing.T) {
	h := newHost(t, HostConfig{NoCgroup: true})
	s := begin(t, h, script(self(t), "for i in 1 2 3 4 5; do (setsid sleep 0.01 &); done; echo ready; read x"), nil)
	s.out.await(t, "ready")
	for range 20 {
		if err := exec.Command("true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "no zombie is left", func() bool {
		table, err := readProcessTable()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range table {
			if c.parent == os.Getpid() && c.dead() && c.session != h.subreaper.session {
				return false
			}
		}
		return true
	})
	s.give("\n")
	s.finish()
}

// The same cases without cgroup.kill, which came with Linux 5.14.
func TestGroupsWithoutKillFile(t *testing.T) {
	h := newHost(t, HostConfig{})
	if h.groups == nil {
		t.Skip("needs root: no cgroup can be made here, and none was delegated")
	}
	word := unique()
	s := begin(t, h, script(self(t), "trap '' HUP; (setsid sleep "+word+" &); echo ready; while :; do sleep 0.01; done"), nil)
	s.out.await(t, "ready")
	eventually(t, "the escapee runs", func() bool { return len(running(t, word)) > 0 })
	g := s.tree.(*cgroup)
	for !g.empty() {
		g.signal(unix.SIGKILL)
	}
	if pids := running(t, word); len(pids) > 0 {
		t.Errorf("%v still run", pids)
	}
	s.finish()
	if _, err := os.Stat(g.dir); !os.IsNotExist(err) {
		t.Errorf("the group is still there: %v", err)
	}
}

func TestManySessionsLeaveNothing(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		result(t, h, command(self(t), "true"), nil) // what is opened once is open now
		files, groups := openFiles(t), sessionGroups(t, h)
		const n = 60
		word := unique()
		all := make([]*Process, n)
		failed := make(chan error, n)
		for i := range n {
			go func() {
				var term *shell.Terminal
				if i%2 == 0 {
					term = terminal80()
				}
				p, err := h.Start(context.Background(), script(self(t), "setsid sleep "+word+" & sleep "+word), term, Options{})
				all[i] = p
				failed <- err
			}()
		}
		for range n {
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all run", func() bool { return len(running(t, word)) == 2*n })
		for _, p := range all {
			go func() {
				p.HangUp(0)
				p.Wait()
				p.Close()
				failed <- nil
			}()
		}
		for range n {
			<-failed
		}
		if pids := running(t, word); len(pids) > 0 {
			t.Errorf("%v still run", pids)
		}
		if now := openFiles(t); now > files {
			t.Errorf("%d descriptors, %d before", now, files)
		}
		if now := sessionGroups(t, h); now > groups {
			t.Errorf("%d cgroups, %d before", now, groups)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func sessionGroups(t *testing.T, h *Host) int {
	t.Helper()
	if h.groups == nil {
		return 0
	}
	dirs, err := filepath.Glob(h.groups.dir + "/" + cgroupPrefix + "*")
	if err != nil {
		t.Fatal(err)
	}
	return len(dirs)
}
