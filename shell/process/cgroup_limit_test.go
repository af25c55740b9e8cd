package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fakeGroup is a directory with the files of a group, as far as they are looked
// at. A kernel that limits is tested by TestForkBomb.
func fakeGroup(t *testing.T, files map[string]string) *cgroupRoot {
	t.Helper()
	r := &cgroupRoot{dir: t.TempDir()}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(r.file(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestLimitProcesses(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for name, c := range map[string]struct {
		files map[string]string
		err   string // "" when limits are turned on
		moved bool
	}{
		"alone in a unit":        {map[string]string{"cgroup.controllers": "memory pids\n", "cgroup.type": "domain\n", "cgroup.procs": own + "\n"}, "", true},
		"moved out before":       {map[string]string{"cgroup.controllers": "pids\n", "cgroup.type": "domain\n", "cgroup.procs": ""}, "", false},
		"the host's root":        {map[string]string{"cgroup.controllers": "cpu pids\n", "cgroup.procs": own + "\n1\n"}, "", false},
		"beside others":          {map[string]string{"cgroup.controllers": "pids\n", "cgroup.type": "domain\n", "cgroup.procs": "1\n" + own + "\n"}, "not alone", false},
		"of another namespace":   {map[string]string{"cgroup.controllers": "pids\n", "cgroup.type": "domain\n", "cgroup.procs": "0\n"}, "not alone", false},
		"without the controller": {map[string]string{"cgroup.controllers": "hugetlb pids2\n", "cgroup.type": "domain\n"}, "no pids controller", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["cgroup.subtree_control"] = ""
			if c.moved {
				c.files[filepath.Join(agentGroup, "cgroup.procs")] = ""
			}
			r := fakeGroup(t, c.files)
			err := r.limitProcesses()
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || r.limits != (err == nil) {
				t.Fatalf("limits %v, %v", r.limits, err)
			}
			if on, _ := os.ReadFile(r.file("cgroup.subtree_control")); (string(on) == "+pids") != (err == nil) {
				t.Errorf("subtree_control got %q", on)
			}
			if got, _ := os.ReadFile(r.file(agentGroup, "cgroup.procs")); (string(got) == own) != c.moved {
				t.Errorf("moved: %q", got)
			}
		})
	}
}

func TestDefaultLimit(t *testing.T) {
	for all, want := range map[string]string{"max": "4096", "100000": "4096", "4000": "1000", "3": "1", "": "4096"} {
		r := fakeGroup(t, map[string]string{"pids.max": all + "\n"})
		r.limits = true
		if err := r.limit(r.dir, 0); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(r.file("pids.max")); string(got) != want {
			t.Errorf("of %s: %s, want %s", all, got, want)
		}
		if err := r.limit(r.dir, 77); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(r.file("pids.max")); string(got) != "77" {
			t.Errorf("%s in place of 77", got)
		}
	}
}

// A session whose group cannot be limited does not begin.
func TestLimitThatCannotBeSet(t *testing.T) {
	r := &cgroupRoot{dir: t.TempDir(), limits: true}
	if err := os.Mkdir(r.file("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.dir, "dir", "pids.max"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.limit(r.file("dir"), 1); err == nil {
		t.Error("no error")
	}
}

// A session that forks without end is in nobody's way but its own.
func TestForkBomb(t *testing.T) {
	h := newHost(t, HostConfig{})
	if err := h.Unlimited(); err != nil {
		t.Logf("NOT RUN: %v", err)
		return
	}
	const forks = `i=0; while [ $i -lt 100 ]; do sleep 1000 </dev/null >/dev/null 2>&1 & i=$((i+1)); done; echo all`
	grant := command(self(t), "sh", "-c", forks)
	grant.Limits.KillOnExit = true
	for limit, want := range map[int]string{20: "Cannot fork", 200: "all"} {
		grant.Limits.MaxProcesses = limit
		if out, _ := result(t, h, grant, nil); !strings.Contains(out, want) {
			t.Errorf("with %d processes: %q, want %q", limit, out, want)
		}
	}
}
