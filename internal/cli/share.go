package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/share"
	"shellagent/shell/shellhttp"
	"shellagent/targets"
)

// defaultShare is how long --share without a time keeps a connection.
const defaultShare = "10m"

// shareFlag says whether a connection is shared with calls to come, and how long
// it stays without one. Empty leaves that to the configuration.
type shareFlag string

func (f *shareFlag) register(c *cobra.Command) {
	c.Flags().StringVar((*string)(f), "share", "", "share one connection with other calls, and keep it for `TIME` after the last, or off (default: the target's \"share\", else off)")
	c.Flags().Lookup("share").NoOptDefVal = defaultShare
	_ = c.RegisterFlagCompletionFunc("share", cobra.FixedCompletions([]string{"10m", "1h", "off"}, cobra.ShellCompDirectiveNoFileComp))
}

// idle is how long the target's connection stays without a session; 0 is not to
// share it.
func (f shareFlag) idle(t targets.Target) (time.Duration, error) {
	switch f {
	case "":
		return t.Share, nil
	case "off":
		return 0, nil
	}
	d, err := time.ParseDuration(string(f))
	if err == nil {
		err = targets.CheckShare(d)
	}
	if err != nil {
		return 0, misuse("--share=%s: give a time such as 10m, up to %v, or off", string(f), targets.MaxShare)
	}
	return d, nil
}

// beginShared opens a session through the process that holds the target's
// connection, which is started where there is none. It returns nil when that
// cannot be and nothing has happened, after saying why: the session then gets a
// connection of its own.
func (c *contact) beginShared(ctx context.Context, idle time.Duration, o opening) (remote, error) {
	place, err := c.sharePlace()
	if err != nil {
		c.unshared(err)
		return nil, nil
	}
	for try := 1; ; try++ {
		session, err := c.joinShared(ctx, place, idle, o)
		var failed *share.Failure
		var ended *share.StartError
		exit, signalled := exitOf(ctx)
		switch {
		case err == nil:
			c.ui.debug("session %s as %s on %s, over a shared connection", session.Info().ID, session.Info().User, session.Info().Host)
			return session, nil
		case signalled:
			return nil, exit
		case errors.As(err, &failed) && !failed.Full:
			return nil, failWith(failed.Code, err)
		case errors.As(err, &ended):
			return nil, otherExit{Exit(ended.Code)} // which has said why
		case errors.Is(err, share.ErrHolderGone):
			return nil, failWith(codeTransport, err)
		case errors.Is(err, share.ErrUntouched) && !errors.Is(err, os.ErrDeadlineExceeded) && try < shareTries:
			continue // it ended in this moment, and the next is another
		}
		c.unshared(err)
		return nil, nil
	}
}

// shareTries bounds how often another holder is looked for.
const shareTries = 3

// unshared says why a connection is not shared. That somebody else has his hands
// in it is said also to those who did not ask.
func (c *contact) unshared(err error) {
	if errors.Is(err, share.ErrUnsafe) {
		c.ui.warn("the connection is not shared: %v", err)
		return
	}
	c.ui.debug("the connection is not shared: %v", err)
}

// joinHolder connects to the holder of a place, which is started where there is none.
func (c *contact) joinHolder(ctx context.Context, place share.Place, idle time.Duration) (*share.Conn, error) {
	return share.Join(ctx, place, func(ctx context.Context, lock *os.File) error {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		c.ui.debug("start %s to hold the connection for %v", program, idle)
		return share.Start(ctx, append([]string{program}, c.holderArgs(place, idle)...), lock)
	})
}

func (c *contact) joinShared(ctx context.Context, place share.Place, idle time.Duration, o opening) (remote, error) {
	conn, err := c.joinHolder(ctx, place, idle)
	if err != nil {
		return nil, err
	}
	// A redraw may be asked for as soon as there is a session.
	var session atomic.Pointer[share.Remote]
	outage := c.outage(c.target.Name, "", nil)
	switch {
	case c.aside:
		outage = func(shellhttp.Outage) {}
	case o.local != nil:
		outage = c.outage(c.target.Name, outageKeys, func() {
			if r := session.Load(); r != nil {
				r.Redraw(o.local.Size())
			}
		})
	}
	said := c.ui.say
	if c.aside {
		said = func(_ share.Level, text string) { c.ui.debug("%s", text) } // the other session says it
	}
	o.wait()
	r, err := conn.Open(ctx, share.Ask{Source: o.source, Request: o.request, InputReady: o.input == inputReady}, share.Listening{
		Said:   said,
		Outage: func(over bool) { outage(shellhttp.Outage{Over: over}) },
	})
	if err != nil {
		return nil, err
	}
	session.Store(r)
	return r, nil
}

// sharePlace is where those meet who would make the same connection.
func (c *contact) sharePlace() (share.Place, error) {
	if !share.Supported {
		return share.Place{}, errors.New("this system has no way to share connections")
	}
	dir, err := share.Dir(c.getenv)
	if err != nil {
		return share.Place{}, err
	}
	c.reach.absolute()
	settings := append([]string{
		c.target.Name, c.target.BaseURL.String(), c.target.Fingerprint, c.target.CAPath,
		targets.DefaultPaths(c.getenv).KnownHosts(), strconv.FormatBool(c.reach.events), strconv.FormatBool(c.reach.cover), c.target.Jump,
	}, c.identityOptions().Stamp()...)
	return share.PlaceOf(dir, settings...)
}

// absolute makes the files' names good in another directory.
func (r *reach) absolute() {
	for _, path := range []*string{&r.config, &r.identity, &r.ca} {
		if *path == "" {
			continue
		}
		if abs, err := filepath.Abs(*path); err == nil {
			*path = abs
		}
	}
}

// holderArgs are the command line of what holds this contact's connection.
func (c *contact) holderArgs(place share.Place, idle time.Duration) []string {
	r := c.reach
	args := []string{
		"share", "hold", "--socket=" + place.Socket, "--idle=" + idle.String(), "--connect-timeout=" + r.connectTimeout.String(),
		"--port=" + strconv.Itoa(r.port), "--cover=" + strconv.FormatBool(r.cover),
	}
	for flag, value := range map[string]string{"config": r.config, "identity": r.identity, "ca": r.ca, "fingerprint": r.fingerprint} {
		if value != "" {
			args = append(args, "--"+flag+"="+value)
		}
	}
	for flag, on := range map[string]bool{"accept-new": r.acceptNew, "batch": r.batch, "sse": r.events, "quiet": r.quiet, "verbose": r.verbose} {
		if on {
			args = append(args, "--"+flag)
		}
	}
	return append(args, "--", c.target.Name)
}
