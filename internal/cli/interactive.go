package cli

import (
	"context"
	"errors"
	"io"
	"strings"

	"shellagent/internal/terminal"
	"shellagent/shell"
)

// errLeft says that the person left with "~.".
var errLeft = errors.New("left")

// errDetached says that the person left with "~d".
var errDetached = errors.New("detached")

// interactive is a program that runs on a terminal, shown on this one.
type interactive struct {
	*surroundings
	t *terminal.Terminal
	r remote
	// screen is where the program draws.
	screen *screen
	// actions carries escapes from the keys to the loop, which answers each on
	// handled before more keys are read.
	actions chan terminal.Action
	handled chan struct{}
}

// ending is how a program ended.
type ending struct {
	exit shell.Exit
	err  error
}

// runOnTerminal shows a program that runs on a pty, and restores the terminal
// whatever happens. told is the window's size as the agent knows it, old how much
// comes first that was printed for others. It returns as [surroundings.ended] does.
func (s *surroundings) runOnTerminal(ctx context.Context, t *terminal.Terminal, told shell.Winsize, old uint64, r remote, target string) error {
	i := &interactive{
		surroundings: s, t: t, r: r, screen: s.screen(old),
		actions: make(chan terminal.Action), handled: make(chan struct{}),
	}
	s.ui.rawWhen(t.IsRaw)
	defer t.Restore()
	signals := terminal.Listen()
	defer signals.Close()
	if err := t.Raw(); err != nil {
		s.sayGoodbye(r, nil)
		return failWith(codeLocal, err)
	}
	// The window may have changed while the session was opened.
	if size := t.Size(); size != told {
		r.Resize(size)
	}
	end := i.show(ctx, signals)
	t.Restore()
	i.screen.leave()
	s.departed = errors.Is(end.err, errDetached) || errors.Is(end.err, errLeft)
	if errors.Is(end.err, errDetached) {
		return s.detach(r, target)
	}
	s.sayGoodbye(r, end.err)
	if errors.Is(end.err, errLeft) {
		s.ui.note("left %s", target)
		return Exit(codeTransport)
	}
	result := s.ended(ctx, r, target, end.exit, end.err)
	if end.err == nil {
		s.ui.note("connection to %s closed", target)
	}
	return result
}

// show runs until the program, the person or a signal ends it.
func (i *interactive) show(ctx context.Context, signals *terminal.Signals) ending {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	input := i.t.Input()
	defer input.Close()
	ahead := newTypeahead(i.r)
	defer ahead.close()
	i.t.Go(func() { i.readKeys(ctx, input, ahead) })
	i.t.Go(func() { ahead.sendTo(i.r) })
	ended := make(chan ending, 1)
	i.t.Go(func() {
		out := &output{stdout: i.screen, stderr: i.stderr, notice: i.notice}
		exit, err := out.copy(ctx, i.r)
		ended <- ending{exit, err}
	})
	for {
		select {
		case end := <-ended:
			return end
		case <-ctx.Done():
			return ending{err: context.Cause(ctx)}
		case act := <-i.actions:
			if end := i.act(act); end != nil {
				return ending{err: end}
			}
			i.handled <- struct{}{}
		case <-signals.Resized:
			i.r.Resize(i.t.Size())
		case <-signals.Stop:
			i.suspend(false)
		case <-signals.Continued:
			i.resume()
		}
	}
}

// act does what an escape asks for. An error ends the show.
func (i *interactive) act(act terminal.Action) error {
	switch act {
	case terminal.ActionLeave:
		return errLeft
	case terminal.ActionDetach:
		if i.r.Info().Linger > 0 {
			return errDetached
		}
		i.ui.line(notDetached)
	case terminal.ActionHelp:
		for _, line := range escapeHelp {
			if i.escapes.Char != 0 {
				line = strings.ReplaceAll(line, "~", string(rune(i.escapes.Char)))
			}
			i.ui.line(line)
		}
	case terminal.ActionConnections:
		lines := []string{"nothing is forwarded"}
		if i.connections != nil {
			lines = i.connections()
		}
		for _, line := range lines {
			i.ui.line(line)
		}
	case terminal.ActionSuspend:
		i.suspend(true)
	}
	return nil
}

// detach leaves the program running and says how to come back.
func (s *surroundings) detach(r remote, target string) error {
	info := r.Info()
	if err := r.Detach(); err != nil {
		s.ui.debug("detach: %v", err)
	}
	s.ui.note(detached, info.Linger/1000)
	s.ui.note(comeBack, s.ui.name, target, info.ID)
	return Exit(0)
}

func (i *interactive) suspend(wholeJob bool) {
	linger := i.r.Info().Linger / 1000
	i.screen.lend()
	if i.r.Suspend() {
		i.ui.note(suspended, linger)
	} else {
		i.ui.note(suspending, linger+silence)
	}
	if err := i.t.Suspend(wholeJob); err != nil {
		i.ui.warn("cannot suspend: %v", err)
	}
	i.screen.takeBack()
	i.r.Continue()
	i.resume()
}

// resume draws on a terminal that others have used in the meantime.
func (i *interactive) resume() {
	if err := i.t.Raw(); err != nil {
		i.ui.warn("cannot take the terminal back: %v", err)
	}
	if i.screen.isFilled() {
		i.r.Redraw(i.t.Size())
	} else {
		i.r.Resize(i.t.Size())
	}
}

// readKeys takes keys apart into input and escapes, until the terminal ends.
func (i *interactive) readKeys(ctx context.Context, input io.Reader, ahead *typeahead) {
	escapes := i.escapes
	buf := make([]byte, 32<<10)
	typed := make([]byte, 0, len(buf)+1)
	size := i.t.Size()
	for {
		n, err := input.Read(buf)
		// The signal of a resize may be seen after the keys that follow it.
		if now := i.t.Size(); now != size {
			size = now
			i.r.Resize(size)
		}
		for rest := buf[:n]; len(rest) > 0; {
			var act terminal.Action
			typed, rest, act = escapes.Next(typed[:0], rest)
			ahead.put(typed)
			if act != terminal.ActionNone && !i.ask(ctx, act) {
				return
			}
		}
		if err != nil {
			ahead.end()
			return
		}
	}
}

// ask has the loop do what an escape asks for; false means that it has ended.
func (i *interactive) ask(ctx context.Context, act terminal.Action) bool {
	select {
	case i.actions <- act:
	case <-ctx.Done():
		return false
	}
	select {
	case <-i.handled:
		return true
	case <-ctx.Done():
		return false
	}
}
