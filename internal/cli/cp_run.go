package cli

import (
	"context"
	"errors"
	"fmt"

	"shellagent/internal/copying"
	"shellagent/shell"
)

// runCopy does what a command line asks for. It always returns an error: the exit.
func (s *surroundings) runCopy(ctx context.Context, r *reach, k *cpFlags, plan copyPlan) error {
	if err := k.program.compress.settle(&k.program); err != nil {
		return err
	}
	r.compress, r.cover = k.program.compress.on, true
	rate, err := byteRate(k.limit)
	if err != nil {
		return err
	}
	if r.fingerprint != "" && severalTargets(plan) {
		return misuse("--fingerprint is of one agent, and there are several here: let the configuration have it")
	}
	defer catchBrokenPipe()()
	ctx, stop := untilSignal(ctx)
	defer stop()
	c := &copier{surroundings: s, reach: r, flags: k, plan: plan, rate: newPace(rate), report: newReport(s, k.asJSON)}
	// What is going on is asked for by who looks on.
	k.options.Count = c.report.wanted(r.quiet)
	k.options.Into = plan.into
	for i := range plan.from {
		if err = c.from(ctx, &plan.from[i]); err != nil {
			break
		}
	}
	failed := c.report.end(err)
	if err != nil {
		return c.interrupted(ctx, err)
	}
	if failed {
		return Exit(codeLocal)
	}
	return Exit(0)
}

func severalTargets(plan copyPlan) bool {
	first := ""
	for _, p := range append([]origin{{place: plan.to}}, plan.from...) {
		if p.remote() && first != "" && p.target != first {
			return true
		}
		if p.remote() {
			first = p.target
		}
	}
	return false
}

// copier is one run of cp.
type copier struct {
	*surroundings
	reach  *reach
	flags  *cpFlags
	plan   copyPlan
	rate   *pace
	report *report
}

// link is one target that takes part in a copy.
type link struct {
	*stream
	place   place
	contact *contact
	done    func()
}

// dial opens the session of a target.
func (c *copier) dial(ctx context.Context, p place) (*link, error) {
	contact, source, err := c.addressOf(c.reach, p.target, p.source)
	if err != nil {
		return nil, err
	}
	request := shell.OpenRequest{Subsystem: shell.SubsystemCopy}
	session, done, err := contact.begin(ctx, c.flags.program.share, opening{source, request, inputReady, nil, nil})
	if err != nil {
		return nil, err
	}
	c.ui.banner(session.Info().Banner)
	t := &stream{ctx: ctx, session: session, ui: c.ui, name: p.address}
	return &link{stream: t, place: p, contact: contact, done: done}, nil
}

// close ends a session. One whose copy is over ends by itself.
func (l *link) close(err error) error {
	if err == nil {
		err = l.finish()
		if err == nil && l.exit != nil && l.exit.Code != 0 {
			err = fmt.Errorf("what served the files of %s ended with %d", l.place.address, l.exit.Code)
		}
	}
	l.contact.sayGoodbye(l.session, err)
	l.done()
	return err
}

// from copies what comes from one place.
func (c *copier) from(ctx context.Context, o *origin) (err error) {
	options := c.flags.options
	c.report.sides(o.place, c.plan.to)
	if !o.remote() {
		return c.with(ctx, c.plan.to, func(l *link) error {
			peer, err := copying.AskToReceive(l, c.rate.writer(l), c.plan.to.path, options)
			if err != nil {
				return told(c.plan.to, err)
			}
			return peer.Send(ctx, copying.Everywhere{}, o.paths, c.report)
		})
	}
	return c.with(ctx, o.place, func(from *link) error {
		options.Relayed = c.plan.to.remote()
		source, err := copying.AskToSend(c.rate.reader(from), from, o.paths, options)
		if err != nil {
			return told(o.place, err)
		}
		if !c.plan.to.remote() {
			return told(c.plan.to, source.Receive(ctx, copying.Everywhere{}, c.plan.to.path, c.report))
		}
		options.Into = options.Into || source.Sources > 1
		return c.with(ctx, c.plan.to, func(to *link) error {
			dest, err := copying.AskToReceive(to, to, c.plan.to.path, options)
			if err != nil {
				return told(c.plan.to, err)
			}
			return copying.Relay(ctx, source, dest, c.report)
		})
	})
}

// with opens a session for do, and ends it.
func (c *copier) with(ctx context.Context, p place, do func(*link) error) error {
	l, err := c.dial(ctx, p)
	if err != nil {
		return err
	}
	// What waits for the session to take or to bring something does so no longer.
	defer context.AfterFunc(ctx, func() { _ = l.session.Close() })()
	return l.close(c.explainLost(l, do(l)))
}

func (c *copier) explainLost(l *link, err error) error {
	if err == nil {
		return nil
	}
	if l.exit != nil && l.exit.Reason != "" {
		return fmt.Errorf("the agent of %s ended the copy: %s", l.place.address, l.exit.Reason)
	}
	return explained(l.place.address, l.session.Info(), err)
}

// told says where something was refused.
func told(p place, err error) error {
	var refused *copying.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	return failWith(codeLocal, errors.New(p.shown(shownPath(refused.Text))))
}

// interrupted is the exit of a copy that did not get to its end, and says how to go
// on with it.
func (c *copier) interrupted(ctx context.Context, err error) error {
	if exit, ok := exitOf(ctx); ok {
		err = exit
	} else {
		err = failWith(codeTransport, err)
	}
	if c.report.began() {
		c.ui.note("what was copied stays, and what was begun is kept: the same command with --update goes on with it")
	}
	return err
}

// shownPath is a path as people read it.
func shownPath(path string) string {
	if clean(path) == path {
		return path
	}
	return fmt.Sprintf("%q", path)
}
