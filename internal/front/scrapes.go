package front

import (
	"context"
	"net"

	"shellagent/broker"
	"shellagent/metrics/scrape"
)

// inheritScrapes makes a listener of the socket for the metrics, which comes
// after those for clients; nil when there is none.
func inheritScrapes(setup broker.Setup) (net.Listener, error) {
	if !setup.Metrics {
		return nil, nil
	}
	return inheritOne(setup.Listeners)
}

// serveScrapes serves the metrics as the broker tells them, until ctx ends; the
// channel is closed after that. Why it ends before is one of served.
func (s *server) serveScrapes(ctx context.Context, served chan<- error) <-chan struct{} {
	ended := make(chan struct{})
	if s.scrapes == nil {
		close(ended)
		return ended
	}
	go func() {
		defer close(ended)
		if err := scrape.Serve(ctx, s.scrapes, s.calls.Metrics, s.log); err != nil {
			served <- err
		}
	}()
	return ended
}
