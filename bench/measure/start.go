package measure

import (
	"context"
	"fmt"
	"sync"
	"time"

	"shellagent/bench/driver"
	"shellagent/bench/peers"
)

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Prompt takes the time from the start of the client's process to the prompt of
// the remote shell.
func Prompt(ctx context.Context, s Subject, _ int) (Values, error) {
	c, err := driver.OnTerminal(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	at, err := c.Await(peers.Prompt)
	if err != nil {
		return nil, err
	}
	took := at.Sub(c.Started())
	// It leaves by itself, so that the server is done with it before the next turn.
	if err := c.Send([]byte("exit\r")); err != nil {
		return nil, err
	}
	if _, err := c.Wait(); err != nil {
		return nil, err
	}
	return Values{"ms": milliseconds(took)}, nil
}

// Whole takes the time from the start of the client's process to its end.
func Whole(ctx context.Context, s Subject, _ int) (Values, error) {
	c, err := driver.OnPipes(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	at, err := c.Wait()
	if err != nil {
		return nil, err
	}
	return Values{"ms": milliseconds(at.Sub(c.Started()))}, nil
}

// Crowd starts many clients at once and takes the time until all have ended. A
// client that fails was refused.
func Crowd(many int) func(context.Context, Subject, int) (Values, error) {
	return func(ctx context.Context, s Subject, _ int) (Values, error) {
		began := time.Now()
		var all sync.WaitGroup
		failed := make(chan error, many)
		for range many {
			all.Go(func() {
				if _, err := Whole(ctx, s, 0); err != nil {
					failed <- err
				}
			})
		}
		all.Wait()
		took := time.Since(began)
		if len(failed) == many {
			return nil, fmt.Errorf("all of %d failed: %w", many, <-failed)
		}
		return Values{"s": took.Seconds(), "refused": float64(len(failed))}, nil
	}
}
