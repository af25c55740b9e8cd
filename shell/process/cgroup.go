package process

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the name of every group that a session gets.
const cgroupPrefix = "shellagent-"

// cgroupRoot is the directory in which sessions get groups of their own: the
// agent's own group, which is its unit's under systemd, so that the unit's end
// is theirs too.
type cgroupRoot struct {
	dir    string
	limits bool // each group has a limit of its own; see limitProcesses

	mu   sync.Mutex
	left []string // groups whose session is over and whose processes go on
}

// findCgroupRoot returns the agent's own group if groups can be made in it. The
// error says why not.
func findCgroupRoot() (*cgroupRoot, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	path, ok := parseOwnCgroup(own)
	if !ok {
		return nil, errors.New("the agent is in no cgroup v2 group")
	}
	if path = strings.TrimSuffix(path, "/"+agentGroup); path == "" {
		path = "/"
	}
	dir, ok := cgroupDir(mounts, path)
	if !ok {
		return nil, errors.New("cgroup v2 is not mounted")
	}
	r := &cgroupRoot{dir: dir}
	if err := r.probe(); err != nil {
		return nil, err
	}
	return r, nil
}

// probe makes a group and has a child born into it: the kernel may be too old
// for that (before Linux 5.7), the group of a wrong kind, or a container's
// filter in the way. The child's program does not exist, and getting as far as
// that is the answer.
func (r *cgroupRoot) probe() error {
	// A child is moved from the agent's group: both ends must be writable.
	if err := unix.Access(filepath.Join(r.dir, "cgroup.procs"), unix.W_OK); err != nil {
		return fmt.Errorf("%s/cgroup.procs: %w", r.dir, err)
	}
	g, err := r.make(0)
	if err != nil {
		return err
	}
	defer g.discard()
	sys := &syscall.SysProcAttr{}
	_, release, err := g.place(sys, nil)
	if err != nil {
		return err
	}
	defer release()
	const nothing = "/proc/self/no-such-program"
	_, err = os.StartProcess(nothing, []string{nothing}, &os.ProcAttr{Env: []string{}, Sys: sys})
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("start a process in %s: %w", g.dir, err)
	}
	return nil
}

// make makes a group for one session with as many processes at most, 0 being
// the default, and removes old ones that emptied.
func (r *cgroupRoot) make(processes int) (*cgroup, error) {
	r.sweep()
	dir := filepath.Join(r.dir, cgroupPrefix+strings.ToLower(rand.Text()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup for the session: %w", err)
	}
	if err := r.limit(dir, processes); err != nil {
		_ = removeCgroup(dir)
		return nil, err
	}
	return &cgroup{root: r, dir: dir}, nil
}

func (r *cgroupRoot) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.left[:0]
	for _, dir := range r.left {
		if removeCgroup(dir) != nil {
			kept = append(kept, dir)
		}
	}
	r.left = kept
}

// cgroup is a session's tree as a cgroup v2 group.
type cgroup struct {
	root *cgroupRoot // nil in [CleanUp]
	dir  string
}

var _ tree = (*cgroup)(nil)

func (g *cgroup) describe() treeNote { return treeNote{Cgroup: g.dir} }

func (g *cgroup) place(sys *syscall.SysProcAttr, env []string) ([]string, func(), error) {
	dir, err := os.Open(g.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("enter the session's cgroup: %w", err)
	}
	sys.UseCgroupFD, sys.CgroupFD = true, int(dir.Fd())
	return env, func() { _ = dir.Close() }, nil
}

func (g *cgroup) started(processID) {}

// signal holds a handle on each process before it asks again who is in the
// group, so that a number that went to a stranger meanwhile is not signalled.
func (g *cgroup) signal(sig unix.Signal) {
	handles := make(map[int]int)
	defer func() {
		for _, fd := range handles {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range g.members() {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			handles[pid] = fd
		}
	}
	for _, pid := range g.members() {
		if fd, ok := handles[pid]; ok {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0)
		}
	}
}

// members lists the processes of the group and of groups made inside it.
func (g *cgroup) members() []int {
	var pids []int
	_ = filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // it was removed meanwhile
		}
		list, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for _, field := range bytes.Fields(list) {
			// 0 is a process of another pid namespace.
			if pid, err := strconv.Atoi(string(field)); err == nil && pid > 1 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

func (g *cgroup) kill() {
	err := os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		g.signal(unix.SIGKILL) // before Linux 5.14
	}
}

func (g *cgroup) empty() bool {
	events, err := os.ReadFile(filepath.Join(g.dir, "cgroup.events"))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
	}
	return bytes.Contains(events, []byte("populated 0"))
}

func (g *cgroup) discard() { _ = removeCgroup(g.dir) }

func (g *cgroup) leave() (alive bool) {
	if removeCgroup(g.dir) == nil {
		return false
	}
	if g.root != nil {
		g.root.mu.Lock()
		g.root.left = append(g.root.left, g.dir)
		g.root.mu.Unlock()
	}
	return true
}

// removeCgroup removes an empty group and the groups inside it, of which there are
// none as a rule.
func removeCgroup(dir string) error {
	// Not os.Remove, which would try to unlink the directory first.
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	entries, listErr := os.ReadDir(dir)
	if listErr != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = removeCgroup(filepath.Join(dir, e.Name()))
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
