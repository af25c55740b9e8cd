package cli

import (
	"context"

	"github.com/spf13/cobra"

	"shellagent/internal/terminal"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

func shellCommand(s *surroundings) *cobra.Command {
	r, p := &reach{}, &program{}
	c := &cobra.Command{
		Use:   "shell [SOURCE] TARGET",
		Short: "Open an interactive shell on a target",
		Long: `Open the shell of a source on a target. TARGET is an entry of the client's
configuration or a host (name, name:port, [address]:port, https://host/prefix);
SOURCE@TARGET works as well, and without SOURCE the target's own is used.

When standard input is a terminal the shell runs on one too. Otherwise it reads
commands from standard input, as a script would.

A connection that breaks is made again, from whatever network; nothing that was
typed or shown is lost. At the start of a line ~. leaves even a dead connection,
~d detaches (see "attach"), ~? lists the escapes.

The exit code is the shell's; 128+n when signal n ended it; 2 when the command
line, the configuration or a key cannot be used; 255 when the connection failed
or the agent refused.`,
		Example: `  agent shell debug myhost
  agent shell debug@192.0.2.7:4000 --fingerprint SHA256:…
  agent shell -i ~/.ssh/id_ed25519 https://proxy.example/agents/web1`,
		ValidArgsFunction: completeAddress(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() >= 0 {
				return misuse(`a shell takes no command; for one use "exec"`)
			}
			source, target, err := addressArgs(args)
			if err != nil {
				return err
			}
			onTerminal := p.forceTerminal || !p.noTerminal && !p.noInput && terminal.Is(s.stdin)
			return s.runProgram(cmd.Context(), r, p, source, target, shell.OpenRequest{}, onTerminal)
		},
	}
	r.register(c)
	p.register(c)
	return c
}

// runProgram opens a session and shows it until it ends. It always returns an
// error: the exit.
func (s *surroundings) runProgram(ctx context.Context, r *reach, p *program, source, target string, request shell.OpenRequest, onTerminal bool) error {
	if err := p.check(); err != nil {
		return err
	}
	r.cover, r.compress = p.cover.on(), p.compress.on
	var err error
	if request.Env, err = p.offered(s.getenv); err != nil {
		return err
	}
	c, source, err := s.addressOf(r, target, source)
	if err != nil {
		return err
	}
	ctx, heard, stop := listening(ctx, catchBrokenPipe)
	defer stop()
	ctx, cancel := p.limited(ctx)
	defer cancel()
	// Only a terminal on both ends is drawn on key by key.
	local, localErr := terminal.Open(s.stdin, s.stdout)
	drawn := onTerminal && !p.noInput && localErr == nil
	if onTerminal {
		request.Terminal = &shell.Terminal{Term: cleanTerm(s.getenv("TERM")), Winsize: terminal.SizeOf(s.stdout, s.stdin, s.stderr)}
	}
	input := p.input(s, request.Terminal != nil)
	request.NoInput = input == inputNone && request.Terminal == nil
	if !drawn {
		local = nil
	}
	if err := p.beforehand(ctx, c, source, &request); err != nil {
		return err
	}
	defer p.forward.close()
	session, done, err := c.begin(ctx, p.share, opening{source, request, input, local, heard})
	if err != nil {
		return err
	}
	defer done()
	if err := p.cover.settle(s.ui, session.Info()); err != nil {
		_ = session.Close()
		return err
	}
	if err := p.beginning(); err != nil {
		_ = session.Close()
		return err
	}
	s.ui.banner(session.Info().Banner)
	if drawn {
		s.connections = p.forward.connections
		return p.afterwards(ctx, s, s.runOnTerminal(ctx, local, request.Terminal.Winsize, 0, session, c.target.Name))
	}
	if input == inputNone && !request.NoInput {
		_ = session.CloseWrite() // how it ends on a terminal, only the terminal knows
	}
	return p.afterwards(ctx, s, s.runOnPipes(ctx, session, c.target.Name, input))
}

// opening is a session that is to be opened, and the terminal that it will be
// drawn on, or nil.
type opening struct {
	source  string
	request shell.OpenRequest
	input   inputState
	local   *terminal.Terminal
	// ready, unless it is nil, is called before the agent is asked, and waits for
	// what has to be in place by then.
	ready func()
}

func (o opening) wait() {
	if o.ready != nil {
		o.ready()
	}
}

// begin opens a session, over a connection that is shared or over one of its own.
// done lets go of what the session goes through.
func (c *contact) begin(ctx context.Context, share shareFlag, o opening) (session remote, done func(), err error) {
	idle, err := share.idle(c.target)
	if err != nil {
		return nil, nil, err
	}
	if idle > 0 {
		session, err := c.beginShared(ctx, idle, o)
		if err != nil || session != nil {
			return session, func() {}, err
		}
	}
	if err := c.settle(ctx); err != nil {
		return nil, nil, err
	}
	o.wait()
	own, client, err := c.open(ctx, o.source, o.request, o.input)
	if err != nil {
		return nil, nil, err
	}
	if c.aside {
		return own.Lasting(nil), client.Close, nil
	}
	return c.lasting(own, c.target.Name, o.local), client.Close, nil
}

// show runs a session on a terminal. See [surroundings.runOnTerminal].
func (s *surroundings) show(ctx context.Context, session *shellhttp.Session, target string, local *terminal.Terminal, told shell.Winsize, old uint64) error {
	r := s.lasting(session, target, local)
	return s.runOnTerminal(ctx, local, told, old, r, target)
}

// lasting makes a session reconnect by itself, and shows when that takes a
// while. local is the terminal that it is drawn on, or nil.
func (s *surroundings) lasting(session *shellhttp.Session, target string, local *terminal.Terminal) *shellhttp.Lasting {
	info := session.Info()
	s.ui.debug("session %s as %s on %s", info.ID, info.User, info.Host)
	if local == nil {
		return session.Lasting(s.outage(target, "", nil))
	}
	return session.Lasting(s.outage(target, outageKeys, func() { session.Redraw(local.Size()) }))
}

// open starts a session with the first key that the agent takes.
func (c *contact) open(ctx context.Context, source string, request shell.OpenRequest, input inputState) (*shellhttp.Session, *shellhttp.Client, error) {
	var session *shellhttp.Session
	client, err := c.try(ctx, func(client *shellhttp.Client) (err error) {
		if input == inputReady {
			client.PrepareInput()
		}
		session, err = client.Open(ctx, source, request)
		return err
	})
	return session, client, err
}
