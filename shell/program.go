package shell

import (
	"errors"
	"io"
	"time"
)

// Program is what a [Session] needs of the host: one started program. The
// session calls each method from goroutines of its own; a Program must allow
// every method at any time from any of them, but is asked for one Read per
// output and one Write or Close of its input at a time.
type Program interface {
	// Stdin is the program's input. Write may block while the program does not
	// read; an error means that nobody will ever read again. Close is the end
	// of input: on a pty the VEOF character.
	Stdin() io.WriteCloser
	// Output is what the program writes: always for [FrameStdout], a nil
	// interface for [FrameStderr] on a pty. It ends with io.EOF (on a pty the
	// kernel says EIO). A reader that is also a [ReadinessWaiter] costs no
	// buffer while it waits.
	Output(FrameType) io.Reader
	// Resize sets the size of the terminal. Without a pty it does nothing.
	Resize(Winsize) error
	// Signal sends a signal, named without SIG, to the foreground process
	// group of the pty, else to the program's process group. The error is
	// os.ErrProcessDone when there is none any more.
	Signal(name string) error
	// Wait blocks until the program itself has ended and was reaped. It is
	// called once.
	Wait() Exit
	// HangUp tells the whole tree to end (HUP and CONT, then KILL after grace)
	// and returns at once. It may come before, during and after Wait.
	HangUp(grace time.Duration)
	// Close releases the pty or the pipes, so that a blocked Read or Write
	// returns, and returns when the whole tree is gone if the grant says
	// KillOnExit. It is called once, after Wait.
	Close()
}

// ReadinessWaiter may be implemented by a [Program]'s output: the session then
// waits with it and reads straight into the backlog.
type ReadinessWaiter interface {
	// WaitReadable blocks until a Read would return at once: with data, the
	// end or an error. It returns an error when there will be no more to read.
	WaitReadable() error
}

// PromptWriter may be implemented by a [Program]'s input: a key is then written
// by whoever brings it, instead of a goroutine of its own.
type PromptWriter interface {
	// WritePrompt writes as much as can be written without waiting, which may
	// be nothing.
	WritePrompt(p []byte) (int, error)
}

// ErrSuspended is what a [Suspender]'s input returns while it is suspended.
var ErrSuspended = errors.New("the program's input is suspended")

// Suspender is a [Program] whose session can go on in another image of the
// agent. Without it a session is waited for.
type Suspender interface {
	// Suspend makes every Write and Close of the input return [ErrSuspended],
	// also those that wait, having written what they say. Nothing is closed: the
	// same Write or Close may be called again after Unsuspend.
	Suspend()
	Unsuspend()
}

// Echo says what becomes of input that is written now.
type Echo uint8

// What becomes of input.
const (
	// EchoNone: the terminal takes a line and shows none of it, as a question for
	// a password has it.
	EchoNone Echo = iota
	// EchoByTerminal: the terminal shows it.
	EchoByTerminal
	// EchoByProgram: the program takes single keys and shows what it likes.
	EchoByProgram
)

// Echoer is a [Program] on a terminal that can be asked for its modes. What is
// typed to another one is never recorded.
type Echoer interface {
	Echo() Echo
}
