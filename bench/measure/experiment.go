// Package measure holds the experiments of the benchmark: what is done with each
// client, and what is taken from it. An experiment runs in rounds in which every
// contestant has its turn, so that a machine that gets slower is so for all.
package measure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"shellagent/bench/driver"
	"shellagent/bench/peers"
)

// Values are what one turn of a contestant gave, by metric.
type Values map[string]float64

// Contestant is a peer with what it is asked for.
type Contestant struct {
	// Name tells it from the others of the experiment.
	Name string
	Peer peers.Peer
	Ask  peers.Ask
}

// Subject is a contestant whose turn it is.
type Subject struct {
	// Command is its client.
	Command driver.Command
	// Servers returns the process ids of its server now.
	Servers func() ([]int, error)
}

// Experiment is one thing that is done with every contestant.
type Experiment struct {
	// Name is what -rows selects by.
	Name string
	// Rounds is how often each contestant has its turn.
	Rounds int
	// Limit is how long a turn may take.
	Limit time.Duration
	// Contestants in the order of the report.
	Contestants []Contestant
	// Turn measures once. round counts from 0.
	Turn func(ctx context.Context, s Subject, round int) (Values, error)
}

// Outcome is what a contestant did in an experiment.
type Outcome struct {
	Contestant string `json:"contestant"`
	// NotRun says why it had no turn; empty when it had.
	NotRun string `json:"notRun,omitempty"`
	// Failed is the error that ended its turns; empty when all succeeded.
	Failed string `json:"failed,omitempty"`
	// Values has one value a round for each metric.
	Values map[string][]float64 `json:"values,omitempty"`
}

// Result is what came out of an experiment.
type Result struct {
	Experiment string    `json:"experiment"`
	Rounds     int       `json:"rounds"`
	Outcomes   []Outcome `json:"outcomes"`
}

// Run has every contestant take its turn in every round, in an order that is
// another one each time. A contestant whose turn fails has no further one.
func (e Experiment) Run(ctx context.Context, log *slog.Logger) Result {
	result := Result{Experiment: e.Name, Rounds: e.Rounds, Outcomes: make([]Outcome, len(e.Contestants))}
	subjects := make([]Subject, len(e.Contestants))
	for i, c := range e.Contestants {
		out := &result.Outcomes[i]
		out.Contestant, out.Values = c.Name, make(map[string][]float64)
		command, err := c.Peer.Command(c.Ask)
		switch {
		case errors.Is(err, peers.ErrNotOffered):
			out.NotRun = err.Error()
		case err != nil:
			out.Failed = err.Error()
		}
		subjects[i] = Subject{command, c.Peer.Servers}
	}
	for round := range e.Rounds {
		for i := range subjects {
			i = (i + round) % len(subjects)
			out := &result.Outcomes[i]
			if out.NotRun != "" || out.Failed != "" || ctx.Err() != nil {
				continue
			}
			values, err := e.turn(ctx, subjects[i], round)
			if err != nil {
				out.Failed = err.Error()
				log.Warn("a turn failed", "experiment", e.Name, "contestant", out.Contestant, "round", round, "err", err)
				continue
			}
			log.Debug("turn", "experiment", e.Name, "contestant", out.Contestant, "round", round, "values", values)
			for metric, v := range values {
				out.Values[metric] = append(out.Values[metric], v)
			}
		}
	}
	return result
}

func (e Experiment) turn(ctx context.Context, s Subject, round int) (Values, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.Limit, fmt.Errorf("it took longer than %v", e.Limit))
	defer cancel()
	return e.Turn(ctx, s, round)
}

// Metrics returns the names of an outcome's metrics, in order.
func (o Outcome) Metrics() []string { return slices.Sorted(maps.Keys(o.Values)) }
