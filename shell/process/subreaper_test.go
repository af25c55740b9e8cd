package process

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Whoever looks through the processes while a session begins leaves its leader
// alone, even one that has ended before it was known for what it is.
func TestLeaderThatEndsAtOnceIsNotBuried(t *testing.T) {
	h := newHost(t, HostConfig{NoCgroup: true})
	other := begin(t, h, script(self(t), "exec sleep 1000"), nil)
	beginning, err := h.newTree(uint32(os.Getuid()), 0)
	if err != nil {
		t.Fatal(err)
	}
	leader := exec.Command("true")
	leader.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leader has ended", func() bool {
		s, err := readStat(leader.Process.Pid)
		return err == nil && s.dead()
	})
	for _, member := range other.tree.(*descent).members() {
		if member.id.pid == leader.Process.Pid {
			t.Error("the leader counts as another session's")
		}
	}
	if err := leader.Wait(); err != nil {
		t.Errorf("the leader's exit is lost: %v", err)
	}
	beginning.discard()
}
