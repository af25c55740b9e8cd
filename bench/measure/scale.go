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
	// Settle is how long the sessions are left alone before each point.
	Settle time.Duration
	// Idle is how long the server is looked at with nothing to do. One whose
	// sessions say in turns that they are there wants a whole turn.
	Idle time.Duration
	// Typing is the work beside the idle sessions. Seldom is the same with longer
	// pauses, for as long: what it costs is taken off, because a server may do less
	// for its idle sessions while somebody types than while nobody does.
	Typing, Seldom Typing
	Download       Download
}

// Point is what a server costs with a number of idle sessions.
type Point struct {
	Sessions int `json:"sessions"`
	// MemoryMiB is the memory of the server's own processes, all together.
	MemoryMiB float64 `json:"memoryMiB"`
	// IdlePercent is the share of one processor that they use with nothing to do.
	IdlePercent float64 `json:"idlePercent"`
	// KeyMs is the median time of an echo, and KeyMicroseconds the processor time
	// of the server for one more, what the idle sessions cost taken off.
	KeyMs           float64 `json:"keyMs"`
	KeyMicroseconds float64 `json:"keyMicroseconds"`
	// MBPerSecond is the rate of a download, and MBMilliseconds the processor time
	// of the server for 1 MB of it, what the idle sessions cost taken off.
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
	if p.IdlePercent, err = sc.rest(ctx, idle); err != nil {
		return Point{}, err
	}
	values := make(map[*float64][]float64)
	for round := range sc.Repeats {
		often, seldom, err := sc.keys(ctx, typing)
		if err != nil {
			return Point{}, err
		}
		flow, err := sc.Download.Turn(ctx, download, round)
		if err != nil {
			return Point{}, err
		}
		rate := flow["MB/s"]
		values[&p.KeyMs] = append(values[&p.KeyMs], often.ms)
		values[&p.KeyMicroseconds] = append(values[&p.KeyMicroseconds], often.each(seldom))
		values[&p.MBPerSecond] = append(values[&p.MBPerSecond], rate)
		// 1 s/GB is 1 ms/MB; a MB takes 1,000/rate ms, in which idleness goes on.
		values[&p.MBMilliseconds] = append(values[&p.MBMilliseconds], flow["server CPU s/GB"]-seldom.share()*1000/rate)
	}
	for to, all := range values {
		slices.Sort(all)
		*to = all[len(all)/2]
	}
	return p, nil
}

// rest returns what percentage of a processor the server uses with nothing to do.
func (sc Scale) rest(ctx context.Context, s Subject) (float64, error) {
	meter, err := serverMeter(s)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := settle(ctx, sc.Idle); err != nil {
		return 0, err
	}
	used, err := meter.Used()
	return used.Seconds() / time.Since(began).Seconds() * 100, err
}

// keys is what a number of keystrokes took.
type keys struct {
	number     int
	ms         float64       // the median time of an echo
	used, took time.Duration // processor time of the server, and time that went by
}

// share returns what share of a processor the server used meanwhile.
func (k keys) share() float64 { return k.used.Seconds() / k.took.Seconds() }

// each returns the processor time for one key more in microseconds, seldom being
// the same with fewer.
func (k keys) each(seldom keys) float64 {
	more := float64(k.number)/k.took.Seconds() - float64(seldom.number)/seldom.took.Seconds()
	return (k.share() - seldom.share()) / more * 1e6
}

// keys types in a session of its own, often and then seldom.
func (sc Scale) keys(ctx context.Context, s Subject) (often, seldom keys, err error) {
	c, err := sc.Typing.begin(ctx, s)
	if err != nil {
		return keys{}, keys{}, err
	}
	defer c.Close()
	if often, err = sc.Typing.cost(c, s); err == nil {
		seldom, err = sc.Seldom.cost(c, s)
	}
	return often, seldom, err
}

// cost returns what pressing the keys takes.
func (t Typing) cost(c *driver.Client, s Subject) (keys, error) {
	meter, err := serverMeter(s)
	if err != nil {
		return keys{}, err
	}
	began := time.Now()
	took, err := t.press(c, t.Keys)
	if err != nil {
		return keys{}, err
	}
	used, err := meter.Used()
	return keys{t.Keys, milliseconds(quantile(took, 0.5)), used, time.Since(began)}, err
}
