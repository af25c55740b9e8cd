package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/internal/door"
)

func reloadCommand() *cobra.Command {
	r := &reloading{}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the agent read its configuration again",
		Long: `Have the agent that runs on this host read its configuration again, and print
what changed. A configuration with mistakes is not taken: each is told with file,
line and column, and the exit code is 1.

When the agent's program was replaced, by a package manager say, it takes over
first, as on SIGHUP: in the same process, with all sessions, and it reads the
configuration. One that does not start, does not accept the configuration or does
not understand the sessions is left alone; the command says why, and exits with 1.

With --confirm the new configuration is on trial, so that a mistake locks nobody
out: within the time somebody must connect anew with "agent confirm SOURCE HOST",
with a key that opens the source under it. Otherwise what was in force comes back.
The command waits for that: exit code 0 when it was confirmed, 1 when it was rolled
back. The trial also covers what the agent took over by itself, as the files
changed, in the ten minutes before; "reloadOnChange": false in the configuration
makes it wait for this command instead. A program that was replaced waits for the
next reload, since it would know nothing to go back to. A reload without --confirm
ends a trial and stays. The files are never changed: rolled back, they say something
else than what is in force until you correct them.`,
		Example: `  agent reload
  agent reload --confirm 60s         # meanwhile, elsewhere: agent confirm debug THIS-HOST`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilInterrupt(cmd.Context())
			defer stop()
			return r.run(ctx, cmd)
		},
	}
	configFlag(cmd, &r.path)
	cmd.Flags().DurationVar(&r.confirm, "confirm", 0, "roll back after `TIME` (1s to 24h) unless somebody confirms")
	cmd.Flags().BoolVar(&r.json, "json", false, "print JSON")
	return cmd
}

// reloading is one run of reload.
type reloading struct {
	path    string
	confirm time.Duration
	json    bool
}

// reloadResult is what is printed as JSON.
type reloadResult struct {
	Version int `json:"version"`
	reloaded
	// Trial is how the trial ended, if there was one.
	Trial *trialState `json:"trial,omitempty"`
}

func (r *reloading) run(ctx context.Context, cmd *cobra.Command) error {
	if r.confirm < 0 || r.confirm > 0 && r.confirm < time.Second || r.confirm > 24*time.Hour {
		return cli.Usage(fmt.Errorf("--confirm is 1s to 24h, not %s", r.confirm))
	}
	// The mistakes are told here also when no agent runs.
	l, err := load(r.path)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(r.path)
	if err != nil {
		return err
	}
	out := reloadResult{Version: 1}
	request := door.Request{Reload: &door.Reload{Config: path, ConfirmMs: r.confirm.Milliseconds()}}
	if err := r.ask(ctx, l.StateDir, request, &out.reloaded); err != nil {
		return err
	}
	if !r.json {
		r.tell(cmd, out.reloaded)
	}
	if id := out.reloaded.Trial; id != 0 {
		if out.Trial, err = r.await(ctx, l.StateDir, id); err != nil {
			return err
		}
	}
	if r.json {
		if err := writeJSON(cmd.OutOrStdout(), out); err != nil {
			return err
		}
	}
	if p := out.Program; p != nil && !p.TookOver && out.Trial == nil {
		return cli.Exit(1)
	}
	return r.outcome(cmd, out.Trial)
}

// ask asks for the reload. A program that takes over cannot answer for the one
// before it, whose connections end with it.
func (r *reloading) ask(ctx context.Context, dir string, request door.Request, out *reloaded) error {
	var before status
	if err := door.Ask(ctx, dir, door.Request{Status: &door.Status{}}, &before); err != nil {
		return err
	}
	err := door.Ask(ctx, dir, request, out)
	if !errors.Is(err, door.ErrGone) || ctx.Err() != nil {
		return err
	}
	now, err := takenOver(ctx, dir, before)
	if err != nil {
		return err
	}
	program := &replacement{TookOver: true, Before: before.Agent, Now: now.Agent, Sessions: now.Sessions}
	if before.Program != nil {
		program.Path = before.Program.Path
	}
	*out = reloaded{Since: now.Since, Program: program}
	return nil
}

func (r *reloading) tell(cmd *cobra.Command, out reloaded) {
	if p := out.Program; p != nil && p.TookOver {
		say(cmd.OutOrStdout(), fmt.Sprintf("the program was replaced in place: %s, before %s; %s open",
			p.Now, p.Before, count(p.Sessions, "session")))
		note(cmd, "it has read the configuration: this is in force since %s", out.Since.Format(time.DateTime))
		return
	} else if p != nil {
		note(cmd, "%s", p.refusal())
	}
	for _, line := range out.Changes {
		say(cmd.OutOrStdout(), line)
	}
	if len(out.Changes) == 0 {
		note(cmd, "nothing changed: this is in force since %s", out.Since.Format(time.DateTime))
	}
	for _, w := range out.Warnings {
		note(cmd, "warning: %s", w)
	}
	if len(out.Restart) > 0 {
		note(cmd, "these take effect when the agent is restarted: %s", strings.Join(out.Restart, ", "))
	}
	if out.Ended > 0 {
		note(cmd, "%s ended: not allowed any more", count(out.Ended, "session"))
	}
	if out.Trial != 0 {
		note(cmd, "on trial for %s; to keep it, from elsewhere: agent confirm SOURCE %s", r.confirm, hostName())
	}
}

// trialPoll is how often the agent is asked how the trial goes.
const trialPoll = 300 * time.Millisecond

// await waits for the end of a trial.
func (r *reloading) await(ctx context.Context, dir string, id int) (*trialState, error) {
	tick := time.NewTicker(trialPoll)
	defer tick.Stop()
	for {
		var s status
		if err := door.Ask(ctx, dir, door.Request{Status: &door.Status{}}, &s); err != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("how the trial ends is not known: %w", err)
		}
		switch t := s.Trial; {
		case ctx.Err() != nil:
			return nil, errors.New("the trial goes on without this command: see agent status")
		case t == nil || t.ID != id:
			return &trialState{ID: id, State: "replaced"}, nil
		case t.State != "waiting":
			return t, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// outcome turns how a trial ended into how the command does.
func (r *reloading) outcome(cmd *cobra.Command, t *trialState) error {
	switch {
	case t == nil:
		return nil
	case t.State == "confirmed":
		note(cmd, "confirmed by %s: it stays", t.By)
		return nil
	case t.State == "replaced":
		note(cmd, "another reload took the place of this one")
		return cli.Exit(1)
	default:
		note(cmd, "ROLLED BACK: nobody confirmed it within %s; what was in force before is again", r.confirm)
		note(cmd, "the files say something else: correct them and reload, for a restart reads them as they are")
		return cli.Exit(1)
	}
}
