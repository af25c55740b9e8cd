package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"

	"shellagent/internal/sshargs"
	"shellagent/internal/tunnel"
	"shellagent/shell"
)

// forwarding is what a command line has carried over a session of its own.
type forwarding struct {
	local, dynamic, remote []sshargs.Forward
	// agent connects to the ssh-agent that is forwarded; nil forwards none.
	agent func(context.Context) (net.Conn, error)
	cfg   tunnel.Config
	// strict has whatever cannot be done end the program.
	strict bool
	// aside says that another session shows what becomes of the connection.
	aside bool
	// listening is told of each forward that is listened for, and where.
	listening func(d sshargs.Direction, f sshargs.Forward, at sshargs.Endpoint)

	set *tunnel.Set
	// unwatch ends who waits for the session's own end.
	unwatch context.CancelFunc
}

// isEmpty says that there is nothing to do. A nil forwarding does nothing either.
func (f *forwarding) isEmpty() bool {
	return f == nil || len(f.local)+len(f.dynamic)+len(f.remote) == 0 && f.agent == nil
}

// beforehand has what goes beside a program carried, before that is started.
func (p *program) beforehand(ctx context.Context, c *contact, source string, request *shell.OpenRequest) error {
	if p.forward.isEmpty() {
		return nil
	}
	env, err := p.forward.begin(ctx, c, p.share, source)
	if len(env) > 0 && request.Env == nil {
		request.Env = make(map[string]string)
	}
	maps.Copy(request.Env, env)
	return err
}

// afterwards waits for what is still carried once the program has ended by itself.
func (p *program) afterwards(ctx context.Context, s *surroundings, ended error) error {
	var failed *failure
	if p.forward == nil || p.forward.set == nil || s.departed || ctx.Err() != nil || errors.As(ended, &failed) {
		return ended
	}
	if err := p.forward.linger(ctx, s.ui); err != nil {
		return err
	}
	return ended
}

// begin opens the session and listens. What is not done although it was asked for
// is an error if f is strict, else told. env gets what the programs of other
// sessions need.
func (f *forwarding) begin(ctx context.Context, c *contact, share shareFlag, source string) (env map[string]string, err error) {
	link, err := c.link(ctx, share, source, f.aside)
	if err != nil {
		var exit Exit
		if f.strict || errors.As(err, &exit) || ctx.Err() != nil {
			return nil, err
		}
		for _, line := range explain(err) {
			c.ui.warn("nothing is forwarded: %s", line)
		}
		return nil, nil
	}
	f.set = tunnel.NewSet(link, f.cfg)
	watched, unwatch := context.WithCancel(context.Background())
	if f.unwatch = unwatch; f.aside {
		go watch(watched, c.ui, link)
	}
	if err := f.listen(ctx, c); err != nil {
		f.close()
		return nil, failWith(codeTransport, err)
	}
	if f.agent == nil {
		return nil, nil
	}
	path, err := f.set.Agent(ctx, f.agent, func(what string) {
		c.ui.warn("ssh-agent was asked by %s for %s, and was not told", c.target.Name, what)
	})
	if err != nil {
		c.ui.warn("ssh-agent is not forwarded: %v", err)
		return nil, nil
	}
	return map[string]string{"SSH_AUTH_SOCK": path}, nil
}

// link opens a session that carries connections.
func (c *contact) link(ctx context.Context, share shareFlag, source string, aside bool) (*tunnel.Link, error) {
	own := *c
	own.aside = aside
	session, done, err := own.begin(ctx, share, opening{source, shell.OpenRequest{Subsystem: shell.SubsystemForward}, inputReady, nil, nil})
	c.peer, c.keys = own.peer, own.keys // which nobody is to be asked for again
	if err != nil {
		return nil, err
	}
	if !aside {
		c.ui.banner(session.Info().Banner)
	}
	return tunnel.NewLink(carrier{session, done}, func(text string, notice bool) {
		if notice && !aside {
			c.ui.note("%s", text)
		} else {
			c.ui.debug("%s", text)
		}
	})
}

// carrier is a session that lets go of what it goes through.
type carrier struct {
	remote
	done func()
}

func (c carrier) Close() error {
	defer c.done()
	return c.remote.Close()
}

// listen does what each forward asks for.
func (f *forwarding) listen(ctx context.Context, c *contact) error {
	each := func(all []sshargs.Forward, d sshargs.Direction, do func(sshargs.Forward) (sshargs.Endpoint, error)) error {
		for _, forward := range all {
			at, err := do(forward)
			if err != nil {
				if exit, ok := exitOf(ctx); ok {
					return exit
				}
				err = fmt.Errorf("-%c %s: %w", d, forward, err)
				if f.strict {
					return err
				}
				c.ui.warn("%v", err)
			}
			if err == nil && f.listening != nil {
				f.listening(d, forward, at)
			}
		}
		return nil
	}
	onRemote := func(forward sshargs.Forward) (sshargs.Endpoint, error) { return f.set.Remote(ctx, forward) }
	return errors.Join(
		each(f.local, sshargs.Local, f.set.Local),
		each(f.dynamic, sshargs.Dynamic, f.set.Local),
		each(f.remote, sshargs.Remote, onRemote),
	)
}

// linger waits until what is open has ended, as ssh does after its program's end,
// or until somebody ends it.
func (f *forwarding) linger(ctx context.Context, u *ui) error {
	if n := len(f.set.Connections()); n > 0 {
		u.debug("waiting for %s to end", plural(n, "forwarded connection", "forwarded connections"))
	}
	f.unwatch()
	if err := f.set.Finish(ctx); err != nil {
		if exit, ok := exitOf(ctx); ok {
			return exit
		}
		u.debug("what was forwarded: %v", err)
	}
	return nil
}

// last waits until ctx ends or the session does, which is an error.
func (f *forwarding) last(ctx context.Context) error {
	select {
	case <-f.set.Link().Done():
		if exit, ok := exitOf(ctx); ok {
			return exit
		}
		return failWith(codeTransport, f.set.Link().Err())
	case <-ctx.Done():
		exit, _ := exitOf(ctx)
		return exit
	}
}

// watch tells that a session ended beside another, which goes on.
func watch(ctx context.Context, u *ui, link *tunnel.Link) {
	select {
	case <-ctx.Done():
	case <-link.Done():
		if ctx.Err() == nil {
			u.warn("nothing is forwarded any more: %v", link.Err())
		}
	}
}

func (f *forwarding) close() {
	if f != nil && f.set != nil {
		f.unwatch()
		_ = f.set.Close()
		f.set = nil
	}
}

// tellFailures is what a person is told of connections: those that failed, and
// with -v the others.
func (s *surroundings) tellFailures(e tunnel.Event) {
	switch {
	case e.Kind == tunnel.Failed && e.ID == 0:
		s.ui.warn("%s: nothing can be accepted: %v", e.Forward, e.Err)
	case e.Kind == tunnel.Failed && e.To == "":
		s.ui.note("channel %d: open failed: %v", e.ID, e.Err)
	case e.Kind == tunnel.Failed:
		s.ui.note("channel %d: open failed: %s: %v", e.ID, e.To, e.Err)
	case e.Kind == tunnel.Opened:
		s.ui.debug("channel %d: %s: from %s to %s", e.ID, e.Forward, e.From, e.To)
	case e.Err != nil:
		s.ui.debug("channel %d: broken after %d bytes out and %d in: %v", e.ID, e.Sent, e.Received, e.Err)
	default:
		s.ui.debug("channel %d: closed after %d bytes out and %d in", e.ID, e.Sent, e.Received)
	}
}

// connections are the lines of "~#".
func (f *forwarding) connections() []string {
	if f == nil || f.set == nil {
		return []string{"nothing is forwarded"}
	}
	all := f.set.Connections()
	lines := []string{fmt.Sprintf("%s:", plural(len(all), "forwarded connection is open", "forwarded connections are open"))}
	for _, c := range all {
		from := c.From
		if from == "" {
			from = "a Unix socket"
		}
		lines = append(lines, fmt.Sprintf("  channel %d: %s: from %s to %s", c.ID, c.Forward, from, c.To))
	}
	return lines
}
