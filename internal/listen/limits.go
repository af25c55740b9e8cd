package listen

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What one session takes of the broker's descriptors: the terminal or three
// pipes, a pidfd, a cgroup, its stream, and a call in progress.
const filesPerSession = 7

// filesBase is what an agent without sessions has open, with room.
const filesBase = 128

// MaxFiles is the limit of open files of this process, 0 when it is unknown.
func MaxFiles() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return l.Max
}

// CheckLimits returns a sentence for every limit of the host that is below what
// the given number of sessions needs.
func CheckLimits(sessions int) []string {
	return checkLimits(sessions, MaxFiles(), maxTerminals())
}

func checkLimits(sessions int, files uint64, terminals int) []string {
	var low []string
	if need := uint64(filesBase + filesPerSession*sessions); files > 0 && files < need {
		low = append(low, fmt.Sprintf("at most %d open files, but the %d sessions that the sources allow may need %d: raise LimitNOFILE in the unit (ulimit -n), or lower maxSessions", files, sessions, need))
	}
	if terminals > 0 && terminals < sessions {
		low = append(low, fmt.Sprintf("at most %d terminals on this host, but the sources allow %d sessions: sysctl kernel.pty.max=%d, or lower maxSessions", terminals, sessions, 2*sessions))
	}
	return low
}

// maxTerminals is kernel.pty.max, 0 when it is unknown.
func maxTerminals() int {
	data, err := os.ReadFile("/proc/sys/kernel/pty/max")
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return n
}
