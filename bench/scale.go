package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"shellagent/bench/measure"
	"shellagent/bench/peers"
	"shellagent/bench/report"
)

// crowdSizes are the numbers of idle sessions that scale measures at.
var (
	crowdSizes      = []int{1, 3, 10, 30, 100, 300, 1000, 2000}
	crowdSizesQuick = []int{1, 10, 100, 300}
)

// keepalive is how often an idle session of ours says that it is there.
const keepalive = 10 * time.Second

// scale measures one agent with more and more idle sessions.
func (o *options) scale(ctx context.Context, out io.Writer) error {
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	down := measure.Download{Path: s.noiseFile, Want: s.noise[:s.size.bulk]}
	sc := measure.Scale{
		Counts: crowdSizes, Repeats: 5, Settle: s.size.settle, Idle: keepalive, Download: down,
		// Both for the time of a keepalive or so.
		Typing: measure.Typing{Keys: 1270, From: 3 * time.Millisecond, To: 12 * time.Millisecond},
		Seldom: measure.Typing{Keys: 10, From: time.Second, To: time.Second},
	}
	if o.quick {
		sc.Counts, sc.Repeats = crowdSizesQuick, 3
	}
	var subjects [3]measure.Subject
	for i, ask := range []peers.Ask{
		{Command: measure.IdleCommand, Terminal: true, Many: true},
		{Command: measure.EchoCommand, Terminal: true, Cover: "off"},
		{Command: down.Command()},
	} {
		command, err := s.laptopIdle.Command(ask)
		if err != nil {
			return err
		}
		subjects[i] = measure.Subject{Command: command, Servers: s.laptopIdle.Servers}
	}
	r := report.Scale{Machine: s.machine()}
	err = sc.Run(ctx, subjects[0], subjects[1], subjects[2], func(p measure.Point) {
		r.Points = append(r.Points, p)
		fmt.Fprintf(os.Stderr, "%d sessions: %.1f MiB\n", p.Sessions, p.MemoryMiB)
	})
	// What was measured before something failed is worth having.
	return errors.Join(err, r.WriteTable(out), write(o.json, r.WriteJSON), write(o.svg, r.WriteSVG))
}

// write writes a file that somebody asked for.
func write(name string, content func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(content(f), f.Close())
}
