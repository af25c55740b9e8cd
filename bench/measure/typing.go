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

// warm is how many keys are pressed before the first one that counts.
const warm = 10

// Echo presses one key after another and takes the time until each is seen, and
// the processor time of client and server.
func (t Typing) Echo(ctx context.Context, s Subject, _ int) (Values, error) {
	c, err := t.begin(ctx, s)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	before, err := meterOf(c, s)
	if err != nil {
		return nil, err
	}
	took, err := t.press(c, t.Keys)
	if err != nil {
		return nil, err
	}
	used, err := before.used()
	if err != nil {
		return nil, err
	}
	return Values{
		"p50": milliseconds(quantile(took, 0.50)), "p95": milliseconds(quantile(took, 0.95)), "p99": milliseconds(quantile(took, 0.99)),
		"CPU ms/key": milliseconds(used.client+used.server) / float64(t.Keys), "server CPU ms/key": milliseconds(used.server) / float64(t.Keys),
	}, nil
}

// begin starts a client on a terminal and presses the keys that do not count.
func (t Typing) begin(ctx context.Context, s Subject) (*driver.Client, error) {
	c, err := driver.OnTerminal(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	if _, err = c.Await("ready\r\n"); err == nil {
		_, err = t.press(c, warm)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// press presses keys and returns how long each took to be seen, sorted.
func (t Typing) press(c *driver.Client, keys int) ([]time.Duration, error) {
	took := make([]time.Duration, 0, keys)
	for range keys {
		stray, err := c.Discard(t.From + rand.N(t.To-t.From+1))
		if err != nil {
			return nil, err
		}
		if stray > 0 {
			return nil, fmt.Errorf("%d bytes came that nobody typed", stray)
		}
		key := []byte{byte('a' + rand.N(26))}
		pressed := time.Now()
		if err := c.Send(key); err != nil {
			return nil, err
		}
		seen := make([]byte, 1)
		at, err := c.Fill(seen)
		if err != nil {
			return nil, err
		}
		if seen[0] != key[0] {
			return nil, fmt.Errorf("the key %q came back as %q", key, seen)
		}
		took = append(took, at.Sub(pressed))
	}
	slices.Sort(took)
	return took, nil
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
