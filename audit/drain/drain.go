package drain

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"shellagent/audit"
	"shellagent/shell"
)

// redacted stands for what a pattern matches.
const redacted = "[redacted]"

// maxRedacted bounds a line in bytes once patterns were replaced: the longest
// line has half of it, and a pattern that matches nothing, such as \b, adds to
// a line wherever it does.
const maxRedacted = 8 * maxLine

// Drain writes the lines of one session's output to a trail of their own.
type Drain struct {
	to      *audit.Log
	tap     *shell.Tap
	session string
	grant   shell.Grant
	redact  []*regexp.Regexp

	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	pauses chan *pause

	offset         uint64
	stdout, stderr Lines
	batch          []*audit.Event
}

// pause is a drain's standstill.
type pause struct {
	frozen chan uint64
	thaw   chan struct{}
}

// Follow sends on what a session shows from an output offset on, as its grant's
// Drain says, until its exit or [Drain.Close]. ended, unless nil, is called then.
func Follow(s *shell.Session, g shell.Grant, from uint64, to *audit.Log, ended func(*Drain)) (*Drain, error) {
	d := &Drain{to: to, session: s.ID(), grant: g, offset: from, done: make(chan struct{}), pauses: make(chan *pause)}
	for _, text := range g.Drain.Redact {
		r, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("drain: %w", err)
		}
		d.redact = append(d.redact, r)
	}
	var err error
	if d.tap, err = s.Beside(shell.TapOptions{Hold: g.Drain.Required, From: from}); err != nil {
		return nil, fmt.Errorf("drain: %w", err)
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	go d.run(ended)
	return d, nil
}

// Session is the session's id.
func (d *Drain) Session() string { return d.session }

// Done is closed when nothing is sent on any more.
func (d *Drain) Done() <-chan struct{} { return d.done }

// Close ends the drain wherever it is.
func (d *Drain) Close() {
	d.cancel()
	<-d.done
}

func (d *Drain) run(ended func(*Drain)) {
	defer close(d.done)
	if ended != nil {
		defer ended(d)
	}
	defer d.cancel()
	defer d.tap.Close()
	for d.takeAll() == nil {
		select {
		case <-d.tap.Wake():
		case <-d.ctx.Done():
			return
		case p := <-d.pauses:
			if d.takeAll() != nil {
				return
			}
			d.end()
			if d.send() != nil {
				return
			}
			p.frozen <- d.offset
			<-p.thaw
		}
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// takeAll sends on all that there is; the error is that nothing follows.
func (d *Drain) takeAll() error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		e, ok, err := d.tap.Take(*buf)
		if !ok {
			if err != nil {
				d.end()
			}
			if sent := d.send(); sent != nil {
				return sent
			}
			return err
		}
		d.event(e)
		if len(d.batch) >= 64 {
			if err := d.send(); err != nil {
				return err
			}
		}
		if e.Kind == shell.TapExit {
			d.end()
			_ = d.send() // either way this was the end
			return io.EOF
		}
	}
}

func (d *Drain) event(e shell.TapEvent) {
	switch e.Kind {
	case shell.TapOutput:
		d.offset = e.Frame.End
		if e.Frame.Type == shell.FrameStderr {
			d.stderr.Write(e.Frame.Data, func(line string) { d.line("stderr", line) })
		} else {
			d.stdout.Write(e.Frame.Data, func(line string) { d.line("stdout", line) })
		}
	case shell.TapGap:
		d.end()
		gap := d.about(audit.SessionGap)
		gap.Count, gap.Error = e.Frame.End-d.offset, "bytes of output are missing: they could not be written down as fast"
		d.batch = append(d.batch, gap)
		d.offset = e.Frame.End
	}
}

// end gives out lines that have not ended.
func (d *Drain) end() {
	d.stdout.End(func(line string) { d.line("stdout", line) })
	d.stderr.End(func(line string) { d.line("stderr", line) })
}

func (d *Drain) line(stream, line string) {
	for _, r := range d.redact {
		line = r.ReplaceAllLiteralString(line, redacted)
		if len(line) > maxRedacted {
			line = redacted // not its beginning: it might end amid what the next pattern is for
			break
		}
	}
	e := d.about(audit.SessionOutput)
	e.Stream, e.Line = stream, line
	d.batch = append(d.batch, e)
}

// about is an event with whose output it is.
func (d *Drain) about(kind audit.Kind) *audit.Event {
	g := &d.grant
	return &audit.Event{
		Kind: kind, Time: time.Now(), Session: d.session, Source: g.Source, User: g.Credential.User,
		OperationID: cmp.Or(g.Operation, d.session), OperationUserName: g.Subject,
		OperationUserEmail: g.Email, Labels: g.Labels,
	}
}

func (d *Drain) send() error {
	if len(d.batch) == 0 {
		return nil
	}
	err := d.to.Put(d.ctx, d.batch...)
	d.batch = nil // the log's now
	return err
}

// Freeze brings the drain to a standstill once all that its session showed, which
// must be frozen, is told, a line that has not ended included. It returns from
// where to follow again and a function that lets it go on instead; ended says
// that there is nothing to follow. The error is that ctx was done first.
func (d *Drain) Freeze(ctx context.Context) (offset uint64, ended bool, thaw func(), err error) {
	p := &pause{frozen: make(chan uint64, 1), thaw: make(chan struct{})}
	thaw = sync.OnceFunc(func() { close(p.thaw) })
	select {
	case d.pauses <- p:
	case <-d.done:
		return 0, true, thaw, nil
	case <-ctx.Done():
		thaw()
		return 0, false, thaw, fmt.Errorf("output of session %s cannot be written down: %w", d.session, ctx.Err())
	}
	select {
	case offset := <-p.frozen:
		return offset, false, thaw, nil
	case <-d.done:
		return 0, true, thaw, nil
	case <-ctx.Done():
		thaw()
		return 0, false, thaw, fmt.Errorf("output of session %s cannot be written down: %w", d.session, ctx.Err())
	}
}
