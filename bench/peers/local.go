package peers

import (
	"fmt"
	"os"

	"shellagent/bench/driver"
)

// Local is no remote shell at all: two terminals in a row and a copier between
// them. Nothing that goes through a terminal on either side can be quicker.
type Local struct {
	site *Site
	self string
}

// NewLocal returns the floor. The running program has to hand its argument
// "relay" to package relay.
func NewLocal(s *Site) (*Local, error) {
	self, err := os.Executable()
	return &Local{s, self}, err
}

// Name implements Peer.
func (l *Local) Name() string { return "two local ptys" }

// Command implements Peer.
func (l *Local) Command(a Ask) (driver.Command, error) {
	if a.Line != nil || a.Shared || a.Compress || a.Cover == "on" || a.Cipher != "" || a.Many || a.Recorded != Unrecorded || a.Command != "" && !a.Terminal {
		return driver.Command{}, fmt.Errorf("two local ptys: %w", ErrNotOffered)
	}
	argv := []string{l.self, "relay", fmt.Sprint(l.site.uid), fmt.Sprint(l.site.gid), l.site.home, shell}
	if a.Command != "" {
		argv = append(argv, "-c", a.Command)
	}
	env := []string{"HOME=" + l.site.home, "USER=" + account, "LOGNAME=" + account, "SHELL=" + shell, "PATH=" + os.Getenv("PATH"), "TERM=xterm", "LANG=C.UTF-8"}
	return driver.Command{Argv: argv, Env: env}, nil
}

// Servers implements Peer: the copier is the client.
func (l *Local) Servers() ([]int, error) { return nil, nil }
