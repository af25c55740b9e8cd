package cli

import "os"

// inputState is what is known of standard input before a program is started.
type inputState uint8

const (
	inputLater inputState = iota // there may be some, or an end, at any time
	inputReady                   // there is some
	inputNone                    // it has ended
)

// input says what a program that is to be started will read.
func (p *program) input(s *surroundings, terminal bool) inputState {
	switch {
	case p.noInput:
		return inputNone
	case terminal:
		return inputLater
	default:
		return lookAt(s.stdin)
	}
}

// lookAt reads nothing: an input that will turn out to be at its end counts as
// ready unless that can be told.
func lookAt(in *os.File) inputState {
	if in == nil {
		return inputLater
	}
	own, err := in.Stat()
	if err != nil {
		return inputLater
	}
	if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(own, null) {
		return inputNone
	}
	if own.Mode().IsRegular() {
		return inputReady
	}
	return poll(in)
}
