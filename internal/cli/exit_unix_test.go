//go:build unix

package cli

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Once signals are heard, one ends the context and not the program, and what
// began with them ends with them.
func TestListening(t *testing.T) {
	for _, s := range endingSignals {
		t.Run(s.String(), func(t *testing.T) {
			var more atomic.Int32
			ended := make(chan struct{})
			ctx, heard, stop := listening(context.Background(), func() (stop func()) {
				more.Add(1)
				return func() { close(ended) }
			})
			heard()
			if more.Load() != 1 {
				t.Error("signals are heard before all has begun")
			}
			if err := syscall.Kill(syscall.Getpid(), s.(syscall.Signal)); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("the signal does not end the context")
			}
			var cause *signalled
			if !errors.As(context.Cause(ctx), &cause) || cause.signal != s {
				t.Errorf("the cause is %v", context.Cause(ctx))
			}
			if exit, ok := exitOf(ctx); !ok || exit == nil {
				t.Errorf("the exit is %v", exit)
			}
			stop()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Error("what began with them did not end")
			}
		})
	}
}

// Who lets go of the signals has a context that no signal ended.
func TestListeningEnds(t *testing.T) {
	ended := make(chan struct{})
	ctx, heard, stop := listening(context.Background(), func() (stop func()) { return func() { close(ended) } })
	heard()
	stop()
	if _, ok := exitOf(ctx); ok || ctx.Err() == nil {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("what began with them did not end")
	}
}
