//go:build linux

package cli

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// runnerSession is the variable with the session of the process that runs the tests.
const runnerSession = "TEST_SESSION"

func sessionOf(pid int) int {
	sid, _ := unix.Getsid(pid)
	return sid
}

// leaveTerminal gives up the terminal of whoever runs the tests: a script that
// gives its command none means that there is none.
func leaveTerminal() {
	if os.Getenv(runnerSession) != strconv.Itoa(sessionOf(0)) {
		return
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer tty.Close()
	_ = unix.IoctlSetInt(int(tty.Fd()), unix.TIOCNOTTY, 0)
}
