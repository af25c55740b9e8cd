package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"shellagent/internal/sshargs"
	"shellagent/internal/tunnel"
	"shellagent/targets"
)

// jump is a host on the way to others, which is reached when the first connection
// goes through it. A nil jump is none.
type jump struct {
	*surroundings
	reach *reach
	host  string
	// user is whom it is asked for, or "".
	user string

	// gone ends when it is closed: connections are also made ahead of need, and
	// none is to reach it again.
	gone context.Context
	end  context.CancelFunc
	turn chan struct{} // has one while it is being reached, for who has link
	link *tunnel.Link
}

// reachedLate is how long close waits for who still reaches a host and was told
// not to: a session that was just opened is hung up meanwhile.
const reachedLate = 2 * time.Second

// sshJump is the last host of ProxyJump, or nil: of it and ProxyCommand the first
// counts.
func (s *surroundings) sshJump(call *sshargs.Command, r *reach) (*jump, error) {
	for _, setting := range call.Settings {
		switch {
		case setting.Keyword == "proxycommand":
			return nil, nil
		case setting.Keyword == "proxyjump" && setting.Values[0] == "none":
			return nil, nil
		case setting.Keyword == "proxyjump":
			hops, err := sshargs.ParseJump(setting.Values[0])
			if err != nil {
				return nil, err
			}
			return s.jumps(hops, r), nil
		}
	}
	return nil, nil
}

// jumps makes a way of hosts. What the command line says of the target is not said
// of them, as with ssh; the client's configuration is everybody's.
func (s *surroundings) jumps(hops []sshargs.Destination, r *reach) (last *jump) {
	for _, hop := range hops {
		own := &reach{ssh: sshReach{hops: r.ssh.hops + 1}, config: r.config, port: hop.Port, batch: r.batch, cover: r.cover, connectTimeout: r.connectTimeout, quiet: r.quiet, verbose: r.verbose}
		own.ssh.fallback = true
		if last != nil {
			own.ssh.jump, own.ssh.dial, own.ssh.straight = last, last.dial, true
		}
		last = &jump{surroundings: s, reach: own, host: hop.Hostname, user: hop.User, turn: make(chan struct{}, 1)}
		last.gone, last.end = context.WithCancel(context.Background())
	}
	return last
}

// maxWay bounds the hosts on a way: in the configuration they can lead in a circle.
const maxWay = 16

// ends fails when a target's way does not, before anything is dialled on it. Only
// the first of a target's hosts has a way of its own.
func ends(config *targets.Config, t targets.Target) error {
	name := t.Name
	for range maxWay {
		if t.Jump == "" {
			return nil
		}
		hops, err := sshargs.ParseJump(t.Jump)
		if err != nil || len(hops) == 0 {
			return err
		}
		if t, err = config.Target(hops[0].Hostname, hops[0].Port); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is further than %d hosts away: do they lead in a circle?", name, maxWay)
}

// wayTo returns what makes connections to a target: as the command line says, else
// through the hosts that its entry names. Targets with the same hosts share them.
func (s *surroundings) wayTo(r *reach, config *targets.Config, t targets.Target) (func(context.Context, string, string) (net.Conn, error), error) {
	if t.Jump == "" || r.ssh.straight {
		return r.ssh.dial, nil
	}
	if err := ends(config, t); err != nil {
		return nil, err
	}
	hops, err := sshargs.ParseJump(t.Jump)
	if err != nil {
		return nil, err
	}
	s.ways.Lock()
	defer s.ways.Unlock()
	key := fmt.Sprintf("%d %s", r.ssh.hops, t.Jump)
	if s.ways.jumps[key] == nil {
		if s.ways.jumps == nil {
			s.ways.jumps = make(map[string]*jump)
		}
		s.ways.jumps[key] = s.jumps(hops, r)
	}
	return s.ways.jumps[key].dial, nil
}

// ways are the jump hosts that the configuration names.
type ways struct {
	sync.Mutex
	jumps map[string]*jump
}

// close lets go of all, those nearest to the target first: they go through the
// others.
func (w *ways) close() {
	w.Lock()
	jumps := slices.Collect(maps.Values(w.jumps))
	w.Unlock()
	slices.SortFunc(jumps, func(a, b *jump) int { return cmp.Compare(a.reach.ssh.hops, b.reach.ssh.hops) })
	for _, j := range jumps {
		j.close()
	}
}

// dial connects from the host.
func (j *jump) dial(ctx context.Context, network, address string) (net.Conn, error) {
	link, err := j.reached(ctx)
	if err != nil {
		return nil, fmt.Errorf("through %s: %w", j.host, err)
	}
	conn, err := link.Dial(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("through %s: %w", j.host, err)
	}
	return conn, nil
}

// reached returns the link to the host, a new one if there is none, or none any more.
func (j *jump) reached(ctx context.Context) (*tunnel.Link, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(j.gone, cancel)()
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
	}
	if err := cmp.Or(context.Cause(ctx), context.Cause(j.gone)); err != nil {
		return nil, err
	}
	if j.link != nil {
		select {
		case <-j.link.Done():
			_ = j.link.Close()
			j.link = nil
		default:
			return j.link, nil
		}
	}
	c, err := j.address(j.reach, j.host)
	if err != nil {
		return nil, err
	}
	source := j.user
	if source == "" && c.target.Source == "" && !c.config.Has(j.host) {
		return nil, errors.New(howToAdd(j.host, "the client's configuration"))
	}
	if source, err = c.target.PickSource(source); err != nil {
		return nil, Usage(err)
	}
	link, err := c.link(ctx, "", source, true)
	if err == nil && j.gone.Err() != nil {
		_ = link.Close()
		err = context.Cause(j.gone)
	}
	if err != nil {
		return nil, err
	}
	j.link = link
	return link, nil
}

func (j *jump) close() {
	if j == nil {
		return
	}
	j.end()
	defer j.reach.ssh.jump.close()
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-time.After(reachedLate):
		return
	}
	if j.link != nil {
		_ = j.link.Close()
		j.link = nil
	}
}
