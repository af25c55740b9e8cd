package broker

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestSuspendedFront(t *testing.T) {
	w := watch(t, nil, "serve")
	for i := range 3 {
		if got := w.ask(t, "before"); got != "answer to before" {
			t.Fatalf("got %q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		resume, err := w.Suspend(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if w.PID() != 0 || len(w.conns) != cap(w.conns) {
			t.Errorf("front %d, %d of %d connections are taken", w.PID(), len(w.conns), cap(w.conns))
		}
		answer := make(chan string, 1)
		go func() { answer <- w.ask(t, "meanwhile") }()
		if starts := w.starts.Load(); starts != uint64(i+1) {
			t.Errorf("%d fronts were started", starts)
		}
		resume()
		resume()
		if got := <-answer; got != "answer to meanwhile" {
			t.Errorf("got %q", got)
		}
	}
}

// A front that dies again and again can be suspended between two lives.
func TestSuspendWhileNoFrontRuns(t *testing.T) {
	w := watch(t, nil, "ready-die")
	eventually(t, "some starts", func() bool { return w.starts.Load() >= 4 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	resume, err := w.Suspend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	starts := w.starts.Load()
	resume()
	eventually(t, "another start", func() bool { return w.starts.Load() > starts })
}

func TestSuspendGivesUp(t *testing.T) {
	w := watch(t, nil, "serve")
	eventually(t, "the front", func() bool { return w.ready.Load() == 1 })
	w.conns <- struct{}{} // a call that does not end
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := w.Suspend(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	<-w.conns
	if got := w.ask(t, "after"); got != "answer to after" {
		t.Errorf("got %q", got)
	}
}
