package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
)

// Exit codes that are the program's own.
const (
	codeLocal     = 1   // something on this machine failed
	codeUsage     = 2   // command line, configuration or key cannot be used
	codeTimeLimit = 124 // --timeout, as timeout(1)
	codeTransport = 255 // connection or refusal
	codeSignal    = 128 // plus the number of the signal
)

// Exit is an error that ends the program with its value as the code. Everything
// there is to say was said.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// otherExit is an exit that is not the status of a program that ended by itself:
// a signal ended it or this one, or it never began. ssh has one code for them all.
type otherExit struct{ Exit }

func (s otherExit) Unwrap() error { return s.Exit }

// Usage marks an error as one of the command line, the configuration or a key:
// the program ends with code 2. Usage(nil) is nil.
func Usage(err error) error { return failWith(codeUsage, err) }

// failure is an error with the exit code that it means.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failWith keeps the code of an error that has one already.
func failWith(code int, err error) error {
	var exit Exit
	var failed *failure
	if err == nil || errors.As(err, &exit) || errors.As(err, &failed) {
		return err
	}
	return &failure{code, err}
}

// usageError is a mistake of the command line that cobra does not find itself;
// the person is pointed to the command's help.
type usageError struct{ text string }

func (u *usageError) Error() string { return u.text }

// misuse returns a usageError.
func misuse(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// signalled is the cause of a context that a signal ended.
type signalled struct{ signal os.Signal }

func (s *signalled) Error() string { return s.signal.String() }

// untilSignal returns a context that ends when the program is asked to. The
// signal is the context's cause, a *signalled.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, heard, stop := listening(ctx, func() (stop func()) { return func() {} })
	heard()
	return ctx, stop
}

// listening is untilSignal for what is done often: each signal that is asked for
// takes two changes of threads, as does letting go of it, and both go on beside
// what the program does. heard waits until they are heard, and more has begun;
// before that a signal ends the program as if nobody asked for it.
func listening(ctx context.Context, more func() (stop func())) (_ context.Context, heard, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, endingSignals...)
		defer more()()
		close(begun)
		select {
		case s := <-asked:
			// Whoever asks again does not want to wait for an orderly end.
			signal.Stop(asked)
			cancel(&signalled{s})
			<-done
		case <-done:
			signal.Stop(asked)
		}
	}()
	return ctx, func() { <-begun }, func() {
		close(done)
		cancel(nil)
	}
}

// exitOf returns the exit that a signal means, an [otherExit], if one ended ctx,
// and the failure that a time limit is.
func exitOf(ctx context.Context) (error, bool) {
	var limit *timeLimit
	if errors.As(context.Cause(ctx), &limit) {
		return &failure{codeTimeLimit, limit}, true
	}
	var s *signalled
	if errors.As(context.Cause(ctx), &s) {
		return otherExit{Exit(codeSignal + signalNumber(s.signal))}, true
	}
	return nil, false
}
