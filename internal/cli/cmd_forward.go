package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"shellagent/internal/sshargs"
	"shellagent/internal/tunnel"
)

// forwardFlags are those of "forward".
type forwardFlags struct {
	local, remote, dynamic []string
	gateway, unlink        bool
	keepGoing, json        bool
	share                  shareFlag
}

func forwardCommand(s *surroundings) *cobra.Command {
	r, f := &reach{cover: true}, &forwardFlags{}
	c := &cobra.Command{
		Use:   "forward [SOURCE] TARGET {-L …|-R …|-D …}…",
		Short: "Carry connections to and from a target's network",
		Long: `Carry connections between this machine and a target's, until Ctrl-C. The source
says which destinations are allowed ("localForward" and "remoteForward" in its
"allow").

  -L [BIND:]PORT:HOST:HOSTPORT  listen here, and connect from the target
  -R [BIND:]PORT:HOST:HOSTPORT  listen on the target, and connect from here
  -D [BIND:]PORT                listen here as a proxy (SOCKS 4, 4A, 5), and
                                connect from the target to where each client says
  -R [BIND:]PORT                the same the other way round

as ssh has them: [BIND:]PORT and HOST:HOSTPORT can each be the path of a Unix
socket, and IPv6 addresses stand in brackets. Without BIND only this machine (or,
with -R, only the target) can connect; "*" is everybody. Port 0 is any that is
free; which one is told.

A connection to the target that breaks is made again, and nothing of what goes
over it is lost. What cannot be listened on ends the program at once, unless
--keep-going is given. With --json each line of standard output is an event:
"listening", then "ready", then "open", "failed" and "closed" of connections.

The exit code is 128+n when signal n ended it (130 after Ctrl-C); 2 when the
command line, the configuration or a key cannot be used; 255 when the connection
failed, the agent refused, or something could not be listened on.`,
		Example: `  agent forward debug myhost -L 5432:db.internal:5432
  agent forward debug@myhost -D 1080
  agent forward myhost -R 8080:localhost:3000 -R /run/user/1000/x.sock:/tmp/x.sock`,
		ValidArgsFunction: completeAddress(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, target, err := addressArgs(args)
			if err != nil {
				return err
			}
			return s.forward(cmd.Context(), r, f, source, target)
		},
	}
	r.register(c)
	f.register(c)
	return c
}

func (f *forwardFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVarP(&f.local, "local", "L", nil, "listen here for `[BIND:]PORT:HOST:HOSTPORT`; a path in the place of either pair is a Unix socket's")
	flags.StringArrayVarP(&f.remote, "remote", "R", nil, "listen on the target for `[BIND:]PORT[:HOST:HOSTPORT]`")
	flags.StringArrayVarP(&f.dynamic, "dynamic", "D", nil, "be a SOCKS proxy here at `[BIND:]PORT`")
	flags.BoolVarP(&f.gateway, "gateway", "g", false, "listen on all addresses of this machine where no other is named")
	flags.BoolVar(&f.unlink, "unlink", false, "remove a Unix socket that is in the way of one to be listened on")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "go on with the others when something cannot be listened on")
	f.share.register(c)
	jsonFlag(c, &f.json)
	for _, name := range []string{"local", "remote", "dynamic"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// parsed reads the values of -L, -R and -D.
func (f *forwardFlags) parsed() (*forwarding, error) {
	w := &forwarding{strict: !f.keepGoing, cfg: tunnel.Config{Gateway: f.gateway, Unlink: f.unlink}}
	for _, each := range []struct {
		d     sshargs.Direction
		texts []string
		to    *[]sshargs.Forward
	}{{sshargs.Local, f.local, &w.local}, {sshargs.Remote, f.remote, &w.remote}, {sshargs.Dynamic, f.dynamic, &w.dynamic}} {
		for _, text := range each.texts {
			one, err := sshargs.ParseForward(each.d, text, true)
			if err != nil {
				return nil, misuse("-%c %s: it is not of the form that --help shows", each.d, text)
			}
			*each.to = append(*each.to, one)
		}
	}
	if w.isEmpty() {
		return nil, misuse("what is to be carried? give -L, -R or -D")
	}
	return w, nil
}

// forward carries until a signal or the agent ends it. It always returns an error.
func (s *surroundings) forward(ctx context.Context, r *reach, flags *forwardFlags, source, target string) error {
	w, err := flags.parsed()
	if err != nil {
		return err
	}
	c, source, err := s.addressOf(r, target, source)
	if err != nil {
		return err
	}
	defer catchBrokenPipe()()
	ctx, stop := untilSignal(ctx)
	defer stop()
	tell := &forwardTeller{surroundings: s, target: c.target.Name, json: flags.json}
	w.cfg.Told, w.listening = tell.event, tell.listening
	if _, err := w.begin(ctx, c, flags.share, source); err != nil {
		return err
	}
	defer w.close()
	if w.set == nil {
		return Exit(codeTransport) // which was said
	}
	tell.ready()
	return w.last(ctx)
}

// forwardTeller says what becomes of forwards, to a person or to a program.
type forwardTeller struct {
	*surroundings
	target string
	json   bool
}

// forwardEvent is a line of "forward --json".
type forwardEvent struct {
	Version  int    `json:"version"`
	Event    string `json:"event"`
	Forward  string `json:"forward,omitempty"`
	At       string `json:"at,omitempty"`
	ID       uint64 `json:"id,omitempty"`
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
	Sent     uint64 `json:"sent,omitempty"`
	Received uint64 `json:"received,omitempty"`
	Error    string `json:"error,omitempty"`
}

func (t *forwardTeller) line(e forwardEvent) {
	e.Version = 1
	if err := t.printJSON(e); err != nil {
		t.ui.debug("%v", err) // connections go on, whoever listens
	}
}

func (t *forwardTeller) listening(d sshargs.Direction, f sshargs.Forward, at sshargs.Endpoint) {
	name := fmt.Sprintf("-%c %s", d, f)
	if t.json {
		t.line(forwardEvent{Event: "listening", Forward: name, At: at.String()})
		return
	}
	to := "where each connection says"
	if !f.IsDynamic() {
		to = f.Connect.String()
	}
	if d == sshargs.Remote {
		t.ui.note("%s listens on %s, for %s from here", t.target, at, to)
	} else {
		t.ui.note("listening on %s, for %s from %s", at, to, t.target)
	}
}

func (t *forwardTeller) ready() {
	if t.json {
		t.line(forwardEvent{Event: "ready"})
		return
	}
	t.ui.note("ready; Ctrl-C ends it")
}

func (t *forwardTeller) event(e tunnel.Event) {
	if !t.json {
		t.tellFailures(e)
		return
	}
	line := forwardEvent{Event: string(e.Kind), Forward: e.Forward, ID: e.ID, From: e.From, To: e.To, Sent: e.Sent, Received: e.Received}
	if e.Err != nil {
		line.Error = clean(e.Err.Error())
	}
	t.line(line)
}
