package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Channel returns the agent's end of the program's descriptor 3, nil without
// [Options.Channel]. A Read takes one message and a Write sends one; Read returns 0
// and io.EOF when nobody has the other end. It is closed by Close.
func (p *Process) Channel() *os.File { return p.channel }

// openChannel makes the channel and returns the program's end.
func (p *Process) openChannel() (theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a channel for the program: %w (raise the agent's limit of open files)", err)
	}
	p.channel = os.NewFile(uintptr(fds[0]), "channel")
	return os.NewFile(uintptr(fds[1]), "channel"), nil
}
