package cli

import (
	"errors"
	"os"
	"syscall"
)

// endingSignals ask the program to end in order.
var endingSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

func signalNumber(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}

// exitPipe is how a program ends whose reader went away: as elsewhere.
const exitPipe = Exit(codeSignal + 13)

func catchBrokenPipe() (stop func()) { return func() {} }

// isBrokenPipe knows ERROR_BROKEN_PIPE and ERROR_NO_DATA (a pipe being closed).
func isBrokenPipe(err error) bool {
	const errorNoData = syscall.Errno(232)
	return errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, errorNoData)
}
