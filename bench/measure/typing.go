package measure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"shellagent/bench/driver"
	"shellagent/bench/peers"
)

// EchoCommand is what Echo has to be asked with: a program that gives back each
// byte as it comes, as an editor does.
const EchoCommand = "stty -icanon -echo min 1 time 0; echo ready; exec cat"

// Typing says how somebody types.
type Typing struct {
	// Keys is how many are pressed, besides the first ten.
	Keys int
	// From and To bound the time between an echo and the next key.
	From, To time.Duration
}

// Echo presses one key after another and takes the time until each is seen.
func (t Typing) Echo(ctx context.Context, s Subject, _ int) (Values, error) {
	c, err := driver.OnTerminal(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Await("ready\r\n"); err != nil {
		return nil, err
	}
	const warm = 10
	took := make([]time.Duration, 0, t.Keys)
	for i := range warm + t.Keys {
		stray, err := c.Discard(t.From + rand.N(t.To-t.From+1))
		if err != nil {
			return nil, err
		}
		if stray > 0 {
			return nil, fmt.Errorf("%d bytes came that nobody typed", stray)
		}
		key := string(rune('a' + rand.N(26)))
		pressed := time.Now()
		if err := c.Send([]byte(key)); err != nil {
			return nil, err
		}
		seen := make([]byte, 1)
		at, err := c.Fill(seen)
		if err != nil {
			return nil, err
		}
		if string(seen) != key {
			return nil, fmt.Errorf("the key %q came back as %q", key, seen)
		}
		if i >= warm {
			took = append(took, at.Sub(pressed))
		}
	}
	slices.Sort(took)
	return Values{
		"p50": milliseconds(quantile(took, 0.50)), "p95": milliseconds(quantile(took, 0.95)), "p99": milliseconds(quantile(took, 0.99)),
	}, nil
}

// quantile returns the value below which the share q of sorted values is.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// Interrupt has the remote shell run yes for a while, presses Ctrl-C and takes
// the time until the prompt is back.
func Interrupt(while time.Duration) func(context.Context, Subject, int) (Values, error) {
	return func(ctx context.Context, s Subject, _ int) (Values, error) {
		c, err := driver.OnTerminal(ctx, s.Command)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if _, err := c.Await(peers.Prompt); err != nil {
			return nil, err
		}
		if err := c.Send([]byte("yes\r")); err != nil {
			return nil, err
		}
		got, err := c.Discard(while)
		if err != nil {
			return nil, err
		}
		if got < 1<<10 {
			return nil, errors.New("yes says nothing")
		}
		pressed := time.Now()
		if err := c.Send([]byte{3}); err != nil {
			return nil, err
		}
		at, err := c.Await(peers.Prompt)
		if err != nil {
			return nil, err
		}
		return Values{"ms": milliseconds(at.Sub(pressed))}, nil
	}
}
