package playback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/terminal"
	"shellagent/record"
	"shellagent/shell"
)

// errLeft says that the person has seen enough.
var errLeft = errors.New("left")

// player shows a tape and obeys keys. play is its only goroutine beside the one
// that reads keys.
type player struct {
	tape  *tape
	out   io.Writer
	speed float64
	idle  time.Duration

	keys   chan key
	input  io.Closer
	paused bool
	goal   goal
	found  string // what n looks for

	at      time.Duration // of what is on the screen
	pending *record.Event // read, not shown
	finder  finder
}

// goal is where to go without waiting; its zero value is nowhere.
type goal struct {
	at   time.Duration
	text string
}

func (g goal) none() bool { return g == goal{} }

const clearScreen = "\x1bc"

// listen reads keys until deafen.
func (p *player) listen(t *terminal.Terminal) {
	in := t.Input()
	p.input = in
	p.keys = make(chan key)
	t.Go(func() { readKeys(in, p.keys) })
}

func (p *player) deafen() {
	_ = p.input.Close()
	go func() {
		for range p.keys { //nolint:revive // until the reader has noticed
		}
	}()
}

// warnOfSize tells of a window in which the recording does not fit.
func (p *player) warnOfSize(cmd *cobra.Command, now shell.Winsize) {
	if int(now.Cols) < p.tape.cols || int(now.Rows) < p.tape.rows {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: recorded in a window of %dx%d, this one has %dx%d\r\n",
			cmd.Root().Name(), p.tape.cols, p.tape.rows, now.Cols, now.Rows)
	}
}

// play shows the tape from where it is to its end.
func (p *player) play(ctx context.Context) error {
	for {
		e, err := p.peek()
		if err == io.EOF {
			if p.goal.text != "" {
				p.say("not found: " + p.goal.text)
				p.goal = goal{}
			}
			return nil
		}
		if err != nil {
			return err
		}
		wait := p.until(e)
		if wait != 0 {
			again, err := p.attend(ctx, wait)
			if err != nil {
				return err
			}
			if again {
				continue
			}
		}
		if err := p.show(e); err != nil {
			return err
		}
	}
}

func (p *player) peek() (record.Event, error) {
	if p.pending != nil {
		return *p.pending, nil
	}
	e, err := p.tape.next()
	if err != nil {
		return e, err
	}
	p.pending = &e
	return e, nil
}

// until is how long the event is still to be waited for; below 0 is for ever.
func (p *player) until(e record.Event) time.Duration {
	if !p.goal.none() {
		if p.goal.text != "" || e.At < p.goal.at {
			return 0
		}
		p.goal = goal{}
		p.at = e.At
	}
	if p.paused {
		return -1
	}
	gap := e.At - p.at
	if p.idle > 0 {
		gap = min(gap, p.idle)
	}
	return time.Duration(float64(gap) / p.speed)
}

func (p *player) show(e record.Event) error {
	p.pending = nil
	p.at = e.At
	if !shown(e) {
		return nil
	}
	data := e.Data()
	if _, err := p.out.Write(data); err != nil {
		return err
	}
	if p.goal.text != "" && p.finder.sees(data, p.goal.text) && e.At >= p.goal.at {
		p.found, p.goal = p.goal.text, goal{}
		p.paused = p.keys != nil
	}
	return nil
}

// attend waits, and obeys keys meanwhile: again says that one changed something.
func (p *player) attend(ctx context.Context, wait time.Duration) (again bool, err error) {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	began := time.Now()
	select {
	case <-due:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case k, ok := <-p.keys:
		if !ok {
			p.keys, p.paused = nil, false
			return true, nil
		}
		// What has been waited for is not waited for again.
		if !p.paused {
			p.at += time.Duration(float64(time.Since(began)) * p.speed)
		}
		return p.obey(k)
	}
}

func (p *player) obey(k key) (again bool, err error) {
	switch k.kind {
	case keyLeave:
		return false, errLeft
	case keyPause:
		p.paused = !p.paused
	case keyStep:
		return !p.paused, nil
	case keyFaster:
		p.speed = min(p.speed*2, maxSpeed)
	case keySlower:
		p.speed = max(p.speed/2, minSpeed)
	case keyJump:
		return true, p.jump(p.at + k.by)
	case keyFind:
		p.search(k.text)
	case keyAgain:
		p.search(p.found)
	}
	return true, nil
}

// jump goes to a time; back is from the start again.
func (p *player) jump(to time.Duration) error {
	to = max(to, 0)
	if to < p.at {
		if err := p.tape.rewind(); err != nil {
			return err
		}
		p.pending, p.at = nil, 0
		p.finder = finder{}
		if _, err := io.WriteString(p.out, clearScreen); err != nil {
			return err
		}
	}
	p.goal = goal{at: to}
	return nil
}

func (p *player) search(text string) {
	if text == "" {
		return
	}
	p.finder = finder{}
	p.found, p.goal = text, goal{text: text}
}

// say tells the person something in a line of its own.
func (p *player) say(text string) { fmt.Fprintf(p.out, "\r\n[%s at %s]\r\n", text, offset(p.at)) }
