package command

import (
	"os/exec"
	"syscall"
)

func checkCredential(*Credential) error { return nil }

// isolate gives the command its user and a process group of its own, so that
// running out of time ends its children, too.
func isolate(cmd *exec.Cmd, user *Credential) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if user != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{
			Uid: user.UID, Gid: user.GID, Groups: user.Groups,
		}
	}
	cmd.Cancel = func() error {
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
