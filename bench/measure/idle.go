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
	clients, err := openMany(i.Sessions, func() (*driver.Client, error) { return atPrompt(ctx, s) })
	defer closeAll(clients)
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, i.Settle); err != nil {
		return nil, err
	}
	after, err := memory(s)
	if err != nil {
		return nil, err
	}
	if err := leave(clients); err != nil {
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

// leave ends the shells as their users would. A client that is killed leaves a session
// to which it could come back, and the next round would find it.
func leave(clients []*driver.Client) error {
	for _, c := range clients {
		if err := c.Send([]byte("exit\r")); err != nil {
			return err
		}
	}
	for _, c := range clients {
		if _, err := c.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// settle leaves everything alone for a while.
func settle(ctx context.Context, while time.Duration) error {
	select {
	case <-time.After(while):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// atPrompt opens a shell on a terminal.
func atPrompt(ctx context.Context, s Subject) (*driver.Client, error) {
	c, err := driver.OnTerminal(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	if _, err := c.Await(peers.Prompt); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func closeAll(clients []*driver.Client) {
	for _, c := range clients {
		c.Close()
	}
}

// openMany opens clients, a few at once. It returns those that it opened, also
// with an error.
func openMany(many int, open func() (*driver.Client, error)) ([]*driver.Client, error) {
	var (
		mu      sync.Mutex
		clients []*driver.Client
		errs    []error
		all     sync.WaitGroup
	)
	turns := make(chan struct{}, many)
	for range many {
		turns <- struct{}{}
	}
	close(turns)
	for range atOnce {
		all.Go(func() {
			for range turns {
				c, err := open()
				mu.Lock()
				if err == nil {
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
