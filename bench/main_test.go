package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"shellagent/bench/driver"
	"shellagent/bench/measure"
	"shellagent/bench/peers"
)

// A line that names nobody would be shown as NOT RUN for ever.
func TestLinesNameWhatThereIs(t *testing.T) {
	s := &scene{size: quick}
	byName := make(map[string]measure.Experiment)
	for _, e := range s.experiments() {
		if _, twice := byName[e.Name]; twice {
			t.Errorf("two experiments are called %q", e.Name)
		}
		if e.Turn == nil || e.Rounds < 1 || e.Limit <= 0 {
			t.Errorf("%q is not complete: %+v", e.Name, e)
		}
		byName[e.Name] = e
	}
	for _, l := range lines {
		e, ok := byName[l.Experiment]
		if !ok {
			t.Errorf("%s: no experiment %q", l.What, l.Experiment)
			continue
		}
		for _, name := range []string{l.Ours, l.Theirs} {
			if name != "" && !slices.ContainsFunc(e.Contestants, func(c measure.Contestant) bool { return c.Name == name }) {
				t.Errorf("%s: %q is no contestant of %q", l.What, name, l.Experiment)
			}
		}
	}
}

func TestListNamesExperimentsAndDoesNothing(t *testing.T) {
	o, err := parse([]string{"-list", "-quick", "-rows", "^echo"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if broken, err := o.bench(context.Background(), &out); broken || err != nil {
		t.Fatalf("%v, %v", broken, err)
	}
	if got := out.String(); got != "echo\necho under cover\n" {
		t.Errorf("%q", got)
	}
}

// nobody is a peer that has nothing to run.
type nobody struct{}

func (nobody) Name() string                              { return "nobody" }
func (nobody) Command(peers.Ask) (driver.Command, error) { return driver.Command{}, nil }
func (nobody) Servers() ([]int, error)                   { return nil, nil }

// Whoever stops a long run gets what was measured until then.
func TestInterruptedRunKeepsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	experiment := func(name string, last bool) measure.Experiment {
		return measure.Experiment{
			Name: name, Rounds: 2, Limit: time.Minute,
			Contestants: []measure.Contestant{{Name: "ours", Peer: nobody{}}},
			Turn: func(context.Context, measure.Subject, int) (measure.Values, error) {
				if last {
					cancel()
				}
				return measure.Values{"ms": 1}, nil
			},
		}
	}
	results, err := runAll(ctx, []measure.Experiment{experiment("whole", false), experiment("cut", true), experiment("never", false)})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 of 3") {
		t.Errorf("got %v", err)
	}
	if len(results) != 1 || results[0].Experiment != "whole" || len(results[0].Outcomes[0].Values["ms"]) != 2 {
		t.Errorf("got %+v", results)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	o := &options{agent: "/nonexistent/agent", client: "/nonexistent/client", peers: "/nonexistent"}
	want := "make build"
	if os.Geteuid() != 0 {
		want = "needs root"
	}
	if s, err := open(t.Context(), o); s != nil || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestABadExpressionIsRefused(t *testing.T) {
	if _, err := parse([]string{"-rows", "("}); err == nil {
		t.Error("( was taken")
	}
}

func TestTerminalTextHasItsSize(t *testing.T) {
	text := terminalText(5000)
	if len(text) != 5000 || !strings.Contains(string(text), "\n") {
		t.Errorf("%d bytes", len(text))
	}
}
