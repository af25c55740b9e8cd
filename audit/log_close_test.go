package audit_test

import (
	"context"
	"testing"

	"shellagent/audit"
	"shellagent/jwtauth"
	"shellagent/seal"
)

// hanging is a sealer that answers once it is let, as a disk that is gone.
type hanging struct {
	*seal.Key
	asked, let chan struct{}
}

func (h hanging) Certificate() (string, jwtauth.PublicKey) {
	close(h.asked)
	<-h.let
	return h.Key.Certificate()
}

func TestCloseWhileAWriteHangs(t *testing.T) {
	f := newFixture(t)
	h := hanging{f.key, make(chan struct{}), make(chan struct{})}
	l := audit.NewLog(audit.LogConfig{Dir: f.dir, Sealer: h})
	l.Add(&audit.Event{Kind: audit.AgentStarted})
	<-h.asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	closed := make(chan error, 1)
	go func() { closed <- l.Close(ctx) }()
	select {
	case err := <-closed:
		if err == nil {
			t.Error("nobody is told that a write does not end")
		}
	case <-within(t).Done():
		t.Error("it waits for a write that does not end")
	}
	close(h.let)
	if err := l.Close(within(t)); err != nil {
		t.Error(err)
	}
}
