// Command bench measures this agent against OpenSSH and dropbear, side by side
// on one machine, as "bench scale" against itself with more and more
// sessions, and as "bench cover" what an observer learns of who types; see docs/performance.md. "make bench" and "make bench-scale" build
// and set up what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"shellagent/bench/measure"
	"shellagent/bench/relay"
	"shellagent/bench/report"
)

func main() { os.Exit(run()) }

// options are the command line's.
type options struct {
	agent, client, peers string
	rows                 *regexp.Regexp
	rounds               int
	quick, list          bool
	json, svg            string
}

func run() int {
	if len(os.Args) > 1 && os.Args[1] == "relay" {
		return runRelay(os.Args[2:])
	}
	if len(os.Args) == 4 && os.Args[1] == "observe" {
		return runObserver(os.Args[2], os.Args[3])
	}
	args, what := os.Args[1:], ""
	if len(args) > 0 && (args[0] == "scale" || args[0] == "cover") {
		what, args = args[0], args[1:]
	}
	o, err := parse(args)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	broken := false
	switch what {
	case "scale":
		err = o.scale(ctx, os.Stdout)
	case "cover":
		err = o.cover(ctx, os.Stdout)
	default:
		broken, err = o.bench(ctx, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	if broken {
		return 1
	}
	return 0
}

func parse(args []string) (*options, error) {
	o := new(options)
	var rows string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.agent, "agent", "bin/agent", "this project's agent")
	f.StringVar(&o.client, "client", "bin/agent-cli", "this project's client")
	f.StringVar(&o.peers, "peers", "dist/peers", "directory of scripts/peers.sh")
	f.StringVar(&rows, "rows", ".", "experiments to run, by regular expression (-list names them)")
	f.IntVar(&o.rounds, "rounds", 0, "rounds of every experiment, instead of its own number")
	f.BoolVar(&o.quick, "quick", false, "fewer rounds, keys and bytes: a few minutes, more noise")
	f.BoolVar(&o.list, "list", false, "name the experiments and do nothing")
	f.StringVar(&o.json, "json", "", "write everything into this file")
	f.StringVar(&o.svg, "svg", "", "draw what scale finds into this file")
	verbose := f.Bool("v", false, "tell of each turn")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelDebug
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	var err error
	if o.rows, err = regexp.Compile(rows); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -rows:", err)
	}
	return o, err
}

func (o *options) bench(ctx context.Context, out io.Writer) (broken bool, err error) {
	s, err := open(ctx, o)
	if err != nil {
		return false, err
	}
	defer s.close()
	began := time.Now()
	r := report.Report{Began: began.UTC(), Machine: s.machine()}
	chosen := o.chosen(s.experiments())
	if o.list {
		for _, e := range chosen {
			fmt.Fprintln(out, e.Name)
		}
		return false, nil
	}
	r.Results, err = runAll(ctx, chosen)
	if err != nil && len(r.Results) == 0 {
		return false, err
	}
	r.Took = time.Since(began).Seconds()
	r.Add(lines)
	if err != nil {
		// What a whole run wrote stays.
		return false, errors.Join(err, r.WriteTable(out))
	}
	if err := r.WriteTable(out); err != nil {
		return false, err
	}
	return r.Broken(), write(o.json, r.WriteJSON)
}

// chosen are the experiments that the options ask for, as they ask for them.
func (o *options) chosen(all []measure.Experiment) (chosen []measure.Experiment) {
	for _, e := range all {
		if !o.rows.MatchString(e.Name) {
			continue
		}
		if o.rounds > 0 {
			e.Rounds = o.rounds
		}
		chosen = append(chosen, e)
	}
	return chosen
}

// runAll runs experiments until ctx ends, which is an error: what was measured by then
// counts all the same, but for the experiment that was cut short.
func runAll(ctx context.Context, all []measure.Experiment) (results []measure.Result, err error) {
	for i, e := range all {
		fmt.Fprintf(os.Stderr, "%s, %d rounds\n", e.Name, e.Rounds)
		result := e.Run(ctx, slog.Default())
		if ctx.Err() != nil {
			return results, fmt.Errorf("%w: %d of %d experiments were run", context.Cause(ctx), i, len(all))
		}
		results = append(results, result)
	}
	return results, nil
}

// runRelay is the process that stands for no remote shell: uid, gid, home
// directory, command line.
func runRelay(args []string) int {
	if len(args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: bench relay UID GID HOME ARGV…")
		return 2
	}
	uid, err := strconv.ParseUint(args[0], 10, 32)
	gid, err2 := strconv.ParseUint(args[1], 10, 32)
	if err := errors.Join(err, err2); err != nil {
		fmt.Fprintln(os.Stderr, "bench relay:", err)
		return 2
	}
	code, err := relay.Run(args[3:], os.Environ(), args[2], uint32(uid), uint32(gid))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench relay:", err)
		return 1
	}
	return code
}
