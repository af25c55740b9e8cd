package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"shellagent/bench/driver"
	"shellagent/bench/observer"
	"shellagent/bench/peers"
	"shellagent/bench/report"
)

// What cover has to keep from an observer, and what the same observer has to find
// without it, or it proves nothing.
const (
	coverTicks      = 20_000
	coverTick       = 4 * time.Millisecond
	coverTicksQuick = 4_000
	coverBits       = 0.02
	coverMargin     = 0.02
	coverFound      = 0.90
)

// watched is somebody who types past the observer.
type watched struct {
	name string
	peer interface {
		peers.Peer
		Port() int
	}
	cover string
	tls   bool
	// lead is how long before it leaves a request is closed for keys, and what the
	// terminal takes: whom the truth is told.
	lead time.Duration
}

// coverReport is everything that came out.
type coverReport struct {
	Began   time.Time      `json:"began"`
	Machine report.Machine `json:"machine"`
	Seconds float64        `json:"secondsOfTyping"`
	Rows    []coverRow     `json:"rows"`
	Short   []string       `json:"fallsShort"`
}

type coverRow struct {
	Who   string `json:"who"`
	Cover string `json:"cover"`
	observer.Verdict
}

// cover lets an observer watch this agent's client and OpenSSH's, with keystroke
// cover and without.
func (o *options) cover(ctx context.Context, out io.Writer) error {
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	ticks := coverTicks
	if o.quick {
		ticks = coverTicksQuick
	}
	// A busy machine leaves ticks out.
	while := time.Duration(ticks) * coverTick * 11 / 10
	r := coverReport{Began: time.Now().UTC(), Machine: s.machine(), Seconds: while.Seconds()}
	for _, w := range []watched{
		{ours, s.ours, "on", true, 300 * time.Microsecond}, {ours, s.ours, "off", true, 0},
		{openssh, s.ssh, "on", false, 0}, {openssh, s.ssh, "off", false, 0},
	} {
		fmt.Fprintf(os.Stderr, "%s, cover %s, %v\n", w.name, w.cover, while)
		v, err := w.watch(ctx, while)
		if err != nil {
			return fmt.Errorf("%s, cover %s: %w", w.name, w.cover, err)
		}
		r.Rows = append(r.Rows, coverRow{w.name, w.cover, v})
	}
	r.judge(ticks)
	if err := r.writeTable(out); err != nil {
		return err
	}
	return write(o.json, func(f io.Writer) error {
		e := json.NewEncoder(f)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// watch has somebody type for a while and the observer look on.
func (w watched) watch(ctx context.Context, while time.Duration) (v observer.Verdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, while+time.Minute)
	defer cancel()
	watcher, err := startObserver(ctx, w.peer.Port(), w.tls)
	if err != nil {
		return v, err
	}
	defer watcher.stop()
	command, err := w.peer.Command(peers.Ask{Command: observer.Command, Terminal: true, Cover: w.cover, Through: watcher.port})
	if err != nil {
		return v, err
	}
	c, err := driver.OnTerminal(ctx, command)
	if err != nil {
		return v, err
	}
	defer c.Close()
	keys, err := observer.Type(ctx, c, while)
	if err != nil {
		return v, err
	}
	records, err := watcher.tell()
	if err != nil {
		return v, err
	}
	return observer.Judge(records, keys, w.lead), nil
}

// judge notes which goals are missed.
func (r *coverReport) judge(ticks int) {
	miss := func(row coverRow, format string, args ...any) {
		r.Short = append(r.Short, fmt.Sprintf("%s, cover %s: ", row.Who, row.Cover)+fmt.Sprintf(format, args...))
	}
	for _, row := range r.Rows {
		if row.Cover == "off" {
			if row.Found.Value < coverFound {
				miss(row, "the observer found %.0f %% of the keys, and has to find %.0f %% to prove anything", 100*row.Found.Value, 100*coverFound)
			}
			continue
		}
		if row.Who != ours {
			continue
		}
		if row.Records < ticks {
			miss(row, "%d requests were seen, %d were to be", row.Records, ticks)
		}
		if row.Gaps.Above() > coverBits {
			miss(row, "%.3f bits of information on gaps above chance, at most %.2f", row.Gaps.Above(), coverBits)
		}
		for name, score := range map[string]observer.Score{"finding keys": row.Found, "keys and chaff": row.Key, "passwords and echo": row.Secret} {
			if !score.Within(coverMargin) {
				miss(row, "%s: %.1f %%, by chance %.1f", name, 100*score.Value, 100*score.Null)
			}
		}
	}
}

func (r *coverReport) writeTable(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "client\tcover\tkeys\trequests\tsizes\tgaps, bits (chance)\tkeys found, F1 (chance)\tkey or chaff (chance)\tpassword or echo (chance)")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", row.Who, row.Cover, row.Keys, row.Records, row.Sizes,
			bits(row.Gaps), percent(row.Found), percent(row.Key), percent(row.Secret))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range r.Short {
		fmt.Fprintln(out, "falls short:", s)
	}
	if len(r.Short) == 0 {
		fmt.Fprintln(out, "all goals met")
	}
	if r.Machine.Load > 1 {
		fmt.Fprintf(out, "the machine was busy (load %.1f): noise hides what a quiet one might show\n", r.Machine.Load)
	}
	return nil
}

func bits(s observer.Score) string {
	if s.Of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f (%.3f, 95 %% below %.3f)", s.Value, s.Null, s.Null95)
}

func percent(s observer.Score) string {
	if s.Of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %% (%.1f, 95 %% below %.1f)", 100*s.Value, 100*s.Null, 100*s.Null95)
}
