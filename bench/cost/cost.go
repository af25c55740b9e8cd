// Package cost tells what processes have used so far: processor time and memory,
// as Linux accounts for them (proc(5), clock_getcpuclockid(3)).
package cost

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one process of a tree.
type Process struct {
	PID int
	// Exe is the file that it executes; empty when it may not be known.
	Exe string
}

// Tree returns a process and all that descend from it. Processes that come or
// go meanwhile may be missed.
func Tree(root int) ([]Process, error) {
	children := make(map[int][]int)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if parent, ok := parentOf(pid); ok {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	tree := []Process{{PID: root}}
	for i := 0; i < len(tree); i++ {
		tree[i].Exe, _ = os.Readlink(fmt.Sprintf("/proc/%d/exe", tree[i].PID))
		for _, child := range children[tree[i].PID] {
			tree = append(tree, Process{PID: child})
		}
	}
	return tree, nil
}

func parentOf(pid int) (int, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name in parentheses may hold anything, so fields count from its end.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// CPU returns the processor time of all threads of a process so far, to the
// nanosecond, those included that have ended.
func CPU(pid int) (time.Duration, error) {
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of the kernel's posix-timers.h.
	clock := int32(^pid)<<3 | 2
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Meter adds up the processor time of processes between two moments.
type Meter map[int]time.Duration

// NewMeter takes the time that each process has used so far.
func NewMeter(pids ...int) (Meter, error) {
	m := make(Meter, len(pids))
	for _, pid := range pids {
		used, err := CPU(pid)
		if err != nil {
			return nil, err
		}
		m[pid] = used
	}
	return m, nil
}

// Used returns what the processes have used together since NewMeter. One that
// has ended is an error, since what it used at last is lost.
func (m Meter) Used() (time.Duration, error) {
	var total time.Duration
	for pid, before := range m {
		now, err := CPU(pid)
		if err != nil {
			return 0, err
		}
		total += now - before
	}
	return total, nil
}

// PSS returns the memory of processes together, in bytes: pages that several
// share are counted in parts (smaps_rollup of proc(5)). Those that have ended
// use none.
func PSS(pids ...int) (int64, error) {
	var total int64
	for _, pid := range pids {
		one, err := pss(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total, nil
}

func pss(pid int) (int64, error) {
	name := filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup")
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%s tells no Pss", name)
}
