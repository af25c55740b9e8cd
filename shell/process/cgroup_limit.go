package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// DefaultMaxProcesses is how many processes and threads a session has when its
// grant names no number: at most a quarter of what the agent's unit has.
const DefaultMaxProcesses = 4096

// agentGroup is where the agent itself goes before it limits groups: the kernel
// limits no group beside processes of their common parent (cgroups(7), "no
// internal processes"). Its name cannot be a session's; see cgroupPrefix.
const agentGroup = "shellagent.agent"

// limitProcesses makes the kernel limit what each group of a session may fork.
// The error says why it cannot; groups are made all the same.
func (r *cgroupRoot) limitProcesses() error {
	if err := r.has("cgroup.controllers"); err != nil {
		return err
	}
	// The host's root has no type, and may have processes.
	if _, err := os.Stat(r.file("cgroup.type")); err == nil {
		if err := r.moveOut(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(r.file("cgroup.subtree_control"), []byte("+pids"), 0); err != nil {
		return fmt.Errorf("limit processes: %w", err)
	}
	r.limits = true
	return nil
}

// has says whether a list of controllers has the one for processes.
func (r *cgroupRoot) has(list string) error {
	names, err := os.ReadFile(r.file(list))
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(names)), "pids") {
		return fmt.Errorf("%s has no pids controller", r.dir)
	}
	return nil
}

// moveOut moves this process into a group of its own.
func (r *cgroupRoot) moveOut() error {
	members, err := os.ReadFile(r.file("cgroup.procs"))
	if err != nil {
		return err
	}
	own := strconv.Itoa(os.Getpid())
	switch pids := bytes.Fields(members); {
	case len(pids) == 0:
		return nil // an earlier image of the agent has done it
	case len(pids) > 1 || string(pids[0]) != own:
		return fmt.Errorf("the agent is not alone in %s", r.dir)
	}
	// What an agent before this one turned on would stand in the way.
	_ = os.WriteFile(r.file("cgroup.subtree_control"), []byte("-pids"), 0)
	if err := os.Mkdir(r.file(agentGroup), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a cgroup for the agent: %w", err)
	}
	if err := os.WriteFile(r.file(agentGroup, "cgroup.procs"), []byte(own), 0); err != nil {
		return fmt.Errorf("move the agent into a cgroup of its own: %w", err)
	}
	return nil
}

// limit bounds the processes of a new group: 0 is the default.
func (r *cgroupRoot) limit(dir string, most int) error {
	if !r.limits {
		return nil
	}
	if most == 0 {
		most = r.defaultLimit()
	}
	if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte(strconv.Itoa(most)), 0); err != nil {
		return fmt.Errorf("limit the session's processes: %w", err)
	}
	return nil
}

// defaultLimit leaves room for others in what all sessions have together, which
// in a unit is TasksMax.
func (r *cgroupRoot) defaultLimit() int {
	text, err := os.ReadFile(r.file("pids.max"))
	if err != nil {
		return DefaultMaxProcesses // the host's root has none
	}
	all, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return DefaultMaxProcesses // "max"
	}
	return max(1, min(DefaultMaxProcesses, all/4))
}

func (r *cgroupRoot) file(names ...string) string {
	return filepath.Join(append([]string{r.dir}, names...)...)
}
