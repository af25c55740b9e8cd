package measure

import (
	"context"
	"errors"
	"sync"
	"time"

	"shellagent/bench/cost"
	"shellagent/bench/driver"
	"shellagent/bench/peers"
)

// Idle opens many shells, leaves them alone for a while, and takes the memory
// that the server's own processes have.
type Idle struct {
	Sessions int
	// Settle is how long they are left alone.
	Settle time.Duration
}

// atOnce is how many of the sessions are opened side by side.
const atOnce = 8

// Turn takes the memory per session: all of the server's, and what it grew by.
func (i Idle) Turn(ctx context.Context, s Subject, _ int) (Values, error) {
	before, err := memory(s)
	if err != nil {
		return nil, err
	}
	clients, err := i.open(ctx, s)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(i.Settle):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	after, err := memory(s)
	if err != nil {
		return nil, err
	}
	each := float64(i.Sessions) * 1024
	return Values{"KiB": float64(after) / each, "KiB more": float64(after-before) / each}, nil
}

func memory(s Subject) (int64, error) {
	pids, err := s.Servers()
	if err != nil {
		return 0, err
	}
	return cost.PSS(pids...)
}

// open opens the sessions and waits for their prompts. It returns those that it
// opened, also with an error.
func (i Idle) open(ctx context.Context, s Subject) ([]*driver.Client, error) {
	var (
		mu      sync.Mutex
		clients []*driver.Client
		errs    []error
		all     sync.WaitGroup
	)
	turns := make(chan struct{}, i.Sessions)
	for range i.Sessions {
		turns <- struct{}{}
	}
	close(turns)
	for range atOnce {
		all.Go(func() {
			for range turns {
				c, err := driver.OnTerminal(ctx, s.Command)
				if err == nil {
					_, err = c.Await(peers.Prompt)
				}
				mu.Lock()
				if c != nil {
					clients = append(clients, c)
				}
				errs = append(errs, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return clients, errors.Join(errs...)
}
