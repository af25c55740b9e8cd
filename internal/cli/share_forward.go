package cli

import (
	"context"
	"fmt"
	"sync"

	"shellagent/internal/share"
	"shellagent/internal/sshargs"
	"shellagent/internal/tunnel"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

// heldForwards are what a holder forwards itself, over one session for each
// source. They end with the holder.
type heldForwards struct {
	open func(ctx context.Context, source string) (*tunnel.Link, error)

	doing sync.Mutex // one request at a time

	mu   sync.Mutex
	sets map[string]*tunnel.Set
}

// do does what ssh's -O forward and -O cancel ask for.
func (f *heldForwards) do(ctx context.Context, ask share.Ask) (ports []int, err error) {
	f.doing.Lock()
	defer f.doing.Unlock()
	for _, text := range ask.Forwards {
		d, forward, err := parseHeld(text)
		if err != nil {
			return nil, err
		}
		port := 0
		if ask.Do == share.DoCancel {
			err = f.cancel(ask.Source, d, forward)
		} else {
			port, err = f.listen(ctx, ask.Source, d, forward)
		}
		if err != nil {
			return nil, failWith(codeTransport, err)
		}
		if port != 0 {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

func parseHeld(text string) (sshargs.Direction, sshargs.Forward, error) {
	if text == "" {
		return 0, sshargs.Forward{}, fmt.Errorf("a forward without a direction")
	}
	d := sshargs.Direction(text[0])
	forward, err := sshargs.ParseForward(d, text[1:], false)
	return d, forward, err
}

func (f *heldForwards) listen(ctx context.Context, source string, d sshargs.Direction, forward sshargs.Forward) (port int, err error) {
	set, err := f.set(ctx, source)
	if err != nil {
		return 0, err
	}
	if d != sshargs.Remote {
		_, err := set.Local(forward)
		return 0, err
	}
	at, err := set.Remote(ctx, forward)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", tunnel.Name(d, forward), err)
	}
	if forward.Listen.Path == "" && forward.Listen.Port == 0 {
		port = at.Port
	}
	return port, nil
}

func (f *heldForwards) cancel(source string, d sshargs.Direction, forward sshargs.Forward) error {
	if set := f.made(source); set != nil {
		return set.Cancel(tunnel.Name(d, forward))
	}
	return fmt.Errorf("%s: %w", tunnel.Name(d, forward), tunnel.ErrNotListening)
}

// set returns what goes over a source's session, which is opened where there is
// none, or none any more.
func (f *heldForwards) set(ctx context.Context, source string) (*tunnel.Set, error) {
	if set := f.made(source); set != nil {
		select {
		case <-set.Link().Done():
			_ = set.Close()
		default:
			return set, nil
		}
	}
	link, err := f.open(ctx, source)
	if err != nil {
		return nil, err
	}
	set := tunnel.NewSet(link, tunnel.Config{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sets[source] = set
	return set, nil
}

func (f *heldForwards) made(source string) *tunnel.Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sets[source]
}

// names are what is forwarded, for the holder's status.
func (f *heldForwards) names() (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, set := range f.sets {
		all = append(all, set.Listening()...)
	}
	return all
}

func (f *heldForwards) close() {
	f.doing.Lock()
	defer f.doing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for source, set := range f.sets {
		_ = set.Close()
		delete(f.sets, source)
	}
}

// link opens a session of forwards with the first key that the agent takes.
func (h *holder) link(ctx context.Context, source string) (*tunnel.Link, error) {
	ask := share.Ask{Source: source, Request: shell.OpenRequest{Subsystem: shell.SubsystemForward}, InputReady: true}
	var err error
	for _, key := range h.keysFor(source) {
		var session *shellhttp.Session
		if session, err = h.openAs(ctx, key, ask); err == nil {
			h.took(source, key)
			return tunnel.NewLink(session.Lasting(nil), nil)
		}
		if !isUnauthorized(err) {
			break
		}
	}
	return nil, h.refused(ctx, err)
}

// askForwards has the holder of a place forward what a command line says, or end
// that, and prints the ports that were chosen.
func (s *surroundings) askForwards(place share.Place, do share.Do, source string, call *sshargs.Command) error {
	conn, err := share.Dial(place)
	if err != nil {
		return err
	}
	ask := share.Ask{Do: do, Source: source}
	for d, keyword := range map[sshargs.Direction]string{sshargs.Local: "localforward", sshargs.Remote: "remoteforward", sshargs.Dynamic: "dynamicforward"} {
		for _, text := range call.Settings.All(keyword) {
			ask.Forwards = append(ask.Forwards, string(rune(d))+text)
		}
	}
	status, err := conn.Forward(ask)
	if err != nil {
		return err
	}
	for _, port := range status.Ports {
		if err := s.print(fmt.Sprintln(port)); err != nil {
			return err
		}
	}
	return nil
}
