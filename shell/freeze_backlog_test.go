package shell

import (
	"testing"
	"time"
)

// A writer that waits for room is woken while the backlog is frozen, by a tap
// that catches up for one: it waits on, and the thaw is not kept out.
func TestFullBacklogIsWokenWhileFrozen(t *testing.T) {
	b := NewBacklog(64)
	c, err := b.Cursor(Holding, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- b.Append(FrameStdout, make([]byte, 200)) }()
	soon := func(what string, done <-chan struct{}) {
		t.Helper()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("waited 10 s for %s", what)
		}
	}
	full := make(chan struct{})
	go func() {
		defer close(full)
		for !b.full() {
		}
	}()
	soon("a full backlog", full)
	thawed := make(chan struct{})
	go func() {
		defer close(thawed)
		b.freeze()
		for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
			b.setNarrow(0) // tells of a change
		}
		b.thaw()
	}()
	soon("the thaw", thawed)
	for left := 200; left > 0; {
		f, err := c.Next(t.Context(), make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		left -= len(f.Data)
		if err := c.Ack(f.End); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}
