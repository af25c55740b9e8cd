package cost

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestATreeHasItsDescendants(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "sleep 60 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child := make([]byte, 20)
	n, err := out.Read(child)
	if err != nil {
		t.Fatal(err)
	}
	sleeper, err := strconv.Atoi(strings.TrimSpace(string(child[:n])))
	if err != nil {
		t.Fatal(err)
	}
	// The shell waits for it, and ends.
	defer func() { _ = syscall.Kill(sleeper, syscall.SIGKILL); _ = cmd.Wait() }()
	tree, err := Tree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[int]string)
	for _, p := range tree {
		at[p.PID] = p.Exe
	}
	if at[os.Getpid()] == "" || at[cmd.Process.Pid] == "" || at[sleeper] == "" {
		t.Errorf("%v", tree)
	}
	if memory, err := PSS(os.Getpid(), cmd.Process.Pid); err != nil || memory < 100<<10 {
		t.Errorf("%d bytes, %v", memory, err)
	}
}

func TestAMeterCountsWhatIsUsed(t *testing.T) {
	m, err := NewMeter(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Work until the clock says that a hundredth of a second was used.
	for now := before; now < before+10*time.Millisecond; {
		if now, err = CPU(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if used, err := m.Used(); err != nil || used < 10*time.Millisecond {
		t.Errorf("%v, %v", used, err)
	}
}

func TestWhoIsGoneHasNoTimeAndNoMemory(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	gone := cmd.Process.Pid
	if _, err := CPU(gone); err == nil {
		t.Error("a process that is gone has a clock")
	}
	if memory, err := PSS(gone); memory != 0 || err != nil {
		t.Errorf("%d, %v", memory, err)
	}
}
