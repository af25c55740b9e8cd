package process

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalNames are the signals that may be asked for by name.
var signalNames = map[string]unix.Signal{
	"INT": unix.SIGINT, "TERM": unix.SIGTERM, "KILL": unix.SIGKILL, "HUP": unix.SIGHUP,
	"QUIT": unix.SIGQUIT, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2, "TSTP": unix.SIGTSTP,
	"CONT": unix.SIGCONT, "WINCH": unix.SIGWINCH, "ALRM": unix.SIGALRM, "PIPE": unix.SIGPIPE,
}

// signalName is the name without SIG, or the number of a signal without a name.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); len(name) > len("SIG") {
		return name[len("SIG"):]
	}
	return strconv.Itoa(int(s))
}

// ResetSignals makes sure that the programs of sessions start with no signal
// ignored, however the agent itself was started. nohup ignores HUP, a script's
// "&" ignores INT and QUIT, and the ignoring is inherited: a shell would never
// see Ctrl-C, and could not even trap it. Where the agent ignores a signal now,
// it receives it and does nothing instead, which its children do not inherit.
// Call it once, at the start of the agent, before it asks for signals itself.
func ResetSignals() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("find out which signals are ignored: %w", err)
	}
	field, _ := statusField(status, "SigIgn")
	ignored, err := strconv.ParseUint(field, 16, 64)
	if err != nil {
		return fmt.Errorf("find out which signals are ignored: %w", err)
	}
	// Nobody reads it: the runtime drops what a full channel does not take.
	unread := make(chan os.Signal, 1)
	for n := range 64 {
		if ignored&(1<<n) != 0 {
			signal.Notify(unread, syscall.Signal(n+1))
		}
	}
	return nil
}

// signalProcess sends to the process and to no successor of its number.
func signalProcess(id processID, sig unix.Signal) {
	fd, err := unix.PidfdOpen(id.pid, 0)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		if s, err := readStat(id.pid); err == nil && s.id == id {
			_ = unix.Kill(id.pid, sig)
		}
	case err == nil:
		defer unix.Close(fd)
		if s, err := readStat(id.pid); err == nil && s.id == id {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0)
		}
	}
}

// killAll sends KILL to the processes, and first to their whole groups: that is
// one step for the kernel, which a process that forks all the time cannot
// outrun. A group never reaches over two sessions.
func killAll(members []stat) {
	groups := make(map[int]bool)
	for _, m := range members {
		if now, err := readStat(m.id.pid); err == nil && now.id == m.id && now.group > 1 && !groups[now.group] {
			groups[now.group] = true
			_ = unix.Kill(-now.group, unix.SIGKILL)
		}
	}
	for _, m := range members {
		signalProcess(m.id, unix.SIGKILL)
	}
}
