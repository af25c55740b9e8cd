//go:build unix

package cli

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// endingSignals ask the program to end in order.
var endingSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

func signalNumber(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}

// exitPipe is how a program ends whose reader went away: 128 + SIGPIPE.
const exitPipe = Exit(codeSignal + int(syscall.SIGPIPE))

// catchBrokenPipe makes writing to a closed pipe an error instead of the end of
// the program, which has a session to hang up first. The signal is caught, not
// ignored: programs started from here would inherit that.
func catchBrokenPipe() (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
