package measure

import (
	"context"
	"fmt"
	"slices"
	"time"

	"shellagent/bench/cost"
	"shellagent/bench/driver"
)

// IdleCommand is what the idle sessions of a Scale have to be asked with, on a
// terminal of the server's.
const IdleCommand = "echo ready; exec cat"

// Scale measures one server with more and more sessions.
type Scale struct {
	// Counts are how many idle sessions there are at each point, in ascending order.
	Counts []int
	// Repeats is how often each cost is taken at a point; its median counts.
	Repeats int
	// Settle is how long the sessions are left alone before each point.
	Settle time.Duration
	// Typing and Download are the work that is done beside the idle sessions.
	Typing   Typing
	Download Download
}

// Point is what a server costs with a number of idle sessions.
type Point struct {
	Sessions int `json:"sessions"`
	// MemoryMiB is the memory of the server's own processes, all together.
	MemoryMiB float64 `json:"memoryMiB"`
	// IdlePercent is the share of one processor that they use with nothing to do.
	IdlePercent float64 `json:"idlePercent"`
	// KeyMs is the median time of an echo, and KeyMicroseconds the processor time
	// of the server for one, what idleness costs taken off.
	KeyMs           float64 `json:"keyMs"`
	KeyMicroseconds float64 `json:"keyMicroseconds"`
	// MBPerSecond is the rate of a download, and MBMilliseconds the processor time
	// of the server for 1 MB of it, what idleness costs taken off.
	MBPerSecond    float64 `json:"mbPerSecond"`
	MBMilliseconds float64 `json:"mbMilliseconds"`
}

// Run opens idle sessions until each of the counts is reached, and measures
// there. done is told of every point.
func (sc Scale) Run(ctx context.Context, idle, typing, download Subject, done func(Point)) error {
	var clients []*driver.Client
	defer func() { closeAll(clients) }()
	for _, count := range sc.Counts {
		more, err := openMany(count-len(clients), func() (*driver.Client, error) { return atReady(ctx, idle) })
		clients = append(clients, more...)
		if err != nil {
			return fmt.Errorf("%d idle sessions: %w", count, err)
		}
		p, err := sc.point(ctx, idle, typing, download)
		if err != nil {
			return fmt.Errorf("beside %d idle sessions: %w", count, err)
		}
		p.Sessions = count
		done(p)
	}
	return nil
}

// atReady opens an idle session. Its client needs no terminal of its own.
func atReady(ctx context.Context, s Subject) (*driver.Client, error) {
	c, err := driver.OnPipes(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	if _, err := c.Await("ready\r\n"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (sc Scale) point(ctx context.Context, idle, typing, download Subject) (Point, error) {
	if err := settle(ctx, sc.Settle); err != nil {
		return Point{}, err
	}
	bytes, err := memory(idle)
	if err != nil {
		return Point{}, err
	}
	rest, err := sc.rest(ctx, idle)
	if err != nil {
		return Point{}, err
	}
	p := Point{MemoryMiB: float64(bytes) / (1 << 20), IdlePercent: rest * 100}
	values := make(map[*float64][]float64)
	for round := range sc.Repeats {
		ms, each, err := sc.key(ctx, typing, rest)
		if err != nil {
			return Point{}, err
		}
		flow, err := sc.Download.Turn(ctx, download, round)
		if err != nil {
			return Point{}, err
		}
		rate := flow["MB/s"]
		values[&p.KeyMs] = append(values[&p.KeyMs], ms)
		values[&p.KeyMicroseconds] = append(values[&p.KeyMicroseconds], each)
		values[&p.MBPerSecond] = append(values[&p.MBPerSecond], rate)
		// 1 s/GB is 1 ms/MB; a MB takes 1,000/rate ms, in which idleness goes on.
		values[&p.MBMilliseconds] = append(values[&p.MBMilliseconds], flow["server CPU s/GB"]-rest*1000/rate)
	}
	for to, all := range values {
		slices.Sort(all)
		*to = all[len(all)/2]
	}
	return p, nil
}

// rest returns what share of a processor the server uses when nothing is asked.
func (sc Scale) rest(ctx context.Context, s Subject) (float64, error) {
	meter, err := serverMeter(s)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := settle(ctx, sc.Settle); err != nil {
		return 0, err
	}
	return share(meter, began)
}

func share(meter cost.Meter, began time.Time) (float64, error) {
	used, err := meter.Used()
	return used.Seconds() / time.Since(began).Seconds(), err
}

// key returns the median time of an echo in ms, and the processor time of the
// server for one in microseconds.
func (sc Scale) key(ctx context.Context, s Subject, rest float64) (ms, each float64, err error) {
	c, err := sc.Typing.begin(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	meter, err := serverMeter(s)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	took, err := sc.Typing.press(c, sc.Typing.Keys)
	if err != nil {
		return 0, 0, err
	}
	all, err := share(meter, began)
	perKey := (all - rest) * time.Since(began).Seconds() / float64(sc.Typing.Keys)
	return milliseconds(quantile(took, 0.5)), perKey * 1e6, err
}
