package measure

import (
	"context"
	"fmt"
	"slices"
	"time"

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
	// Settle is how long the sessions are left alone before each point, and after
	// work before what idleness costs is looked at: a server may clean up.
	Settle time.Duration
	// Typing and Download are the work that is done beside the idle sessions.
	// Idleness is looked at for as long as the typing took; a server whose
	// sessions say in turns that they are there wants both to be a whole turn.
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
	p := Point{MemoryMiB: float64(bytes) / (1 << 20)}
	values := make(map[*float64][]float64)
	for round := range sc.Repeats {
		ms, key, err := sc.key(ctx, typing)
		if err != nil {
			return Point{}, err
		}
		flow, err := sc.Download.Turn(ctx, download, round)
		if err != nil {
			return Point{}, err
		}
		rest, err := sc.rest(ctx, idle, key.took)
		if err != nil {
			return Point{}, err
		}
		rate := flow["MB/s"]
		values[&p.IdlePercent] = append(values[&p.IdlePercent], rest*100)
		values[&p.KeyMs] = append(values[&p.KeyMs], ms)
		values[&p.KeyMicroseconds] = append(values[&p.KeyMicroseconds], key.each(rest))
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

// rest returns what share of a processor the server uses over a time in which
// nothing is asked, nor was right before.
func (sc Scale) rest(ctx context.Context, s Subject, over time.Duration) (float64, error) {
	if err := settle(ctx, sc.Settle); err != nil {
		return 0, err
	}
	meter, err := serverMeter(s)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := settle(ctx, over); err != nil {
		return 0, err
	}
	used, err := meter.Used()
	return used.Seconds() / time.Since(began).Seconds(), err
}

// keys is what a number of keystrokes took.
type keys struct {
	number     int
	used, took time.Duration // processor time of the server, and time that went by
}

// each returns the processor time for one key in microseconds, less what the
// server would have used anyway.
func (k keys) each(rest float64) float64 {
	return (k.used.Seconds() - rest*k.took.Seconds()) / float64(k.number) * 1e6
}

// key returns the median time of an echo in ms, and what the keys cost.
func (sc Scale) key(ctx context.Context, s Subject) (ms float64, cost keys, err error) {
	c, err := sc.Typing.begin(ctx, s)
	if err != nil {
		return 0, keys{}, err
	}
	defer c.Close()
	meter, err := serverMeter(s)
	if err != nil {
		return 0, keys{}, err
	}
	began := time.Now()
	took, err := sc.Typing.press(c, sc.Typing.Keys)
	if err != nil {
		return 0, keys{}, err
	}
	used, err := meter.Used()
	return milliseconds(quantile(took, 0.5)), keys{sc.Typing.Keys, used, time.Since(began)}, err
}
