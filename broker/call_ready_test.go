package broker

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// The front says whether there is room for calls without asking the broker.
func TestReady(t *testing.T) {
	c := NewCallClient(nil, 1)
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("with room: %v", err)
	}
	if err := c.turns.Take(t.Context(), netip.Addr{}, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx); err == nil {
		t.Error("ready without room")
	}
	c.turns.Done()
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	c.Close()
	if err := c.Ready(t.Context()); err == nil {
		t.Error("ready after the end")
	}
}
