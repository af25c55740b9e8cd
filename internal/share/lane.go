package share

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/shell"
)

// lane carries one session between the holder's connection and a guest.
type lane struct {
	*guest
	session Session

	mu      sync.Mutex
	changed sync.Cond // anything below has changed
	input   []byte    // not given to the session yet; at most inputWindow
	ended   bool      // no more input comes
	taken   int       // by the session, and not told yet
	sent    uint64    // output that the guest was given, as an offset
	acked   uint64    // and what has left it
	over    bool      // the guest is gone, or the session is
}

// open opens a session and carries it until either side is gone. A guest that
// leaves while it is opened has it hung up.
func (g *guest) open(ctx context.Context, in *bufio.Reader, ask Ask) {
	if !g.holder.count(g) {
		_ = g.sendJSON(kindFailed, Failure{Code: 255, Full: true, Lines: []string{"the shared connection has as many sessions as it may"}})
		return
	}
	if g.send(kindBegun, nil) != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A guest says nothing before its session is open, but it may leave.
	awake := make(chan struct{})
	var opened atomic.Bool
	var left bool // before it was open
	go func() {
		defer close(awake)
		if _, err := in.Peek(1); err != nil && !opened.Load() {
			left = true
			cancel()
		}
	}()
	session, err := g.holder.cfg.Open(ctx, ask, g)
	if err != nil {
		_ = g.sendJSON(kindFailed, g.holder.cfg.Explain(err, nil))
		g.conn.Close()
		<-awake
		return
	}
	opened.Store(true)
	info := session.Info()
	g.show(ask, info)
	l := &lane{guest: g, session: session, sent: info.From, acked: info.From}
	l.changed.L = &l.mu
	if g.sendJSON(kindOpened, info) != nil {
		g.conn.Close()
	}
	unwatch := context.AfterFunc(ctx, l.stop)
	var running sync.WaitGroup
	running.Go(l.give)
	running.Go(func() { l.carry(ctx) })
	<-awake
	if left {
		_ = session.Close()
	} else {
		l.listen(ctx, in)
	}
	unwatch()
	cancel()
	l.end()
	running.Wait()
}

func (g *guest) show(ask Ask, info shell.SessionInfo) {
	command := ask.Request.Command
	if len(ask.Request.Argv) > 0 {
		command = strings.Join(ask.Request.Argv, " ")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shown = &StatusSession{
		ID: info.ID, Source: info.Source, User: info.User, Command: command, Terminal: info.Terminal,
		Started: time.Now().UnixMilli(), Guest: g.pid,
	}
}

// stop ends what a holder carries that ends itself.
func (l *lane) stop() {
	_ = l.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = l.sendJSON(kindFailed, Failure{Code: 255, Lines: []string{"the shared connection was ended, and the session with it"}})
	l.conn.Close()
}

// listen does what the guest says until it leaves. Who leaves without a word,
// as one that is killed, leaves the session running, as its agent keeps it.
func (l *lane) listen(ctx context.Context, in *bufio.Reader) {
	var buf []byte
	for {
		k, data, err := receive(in, buf)
		if err == nil {
			buf = data[:0]
			err = l.hear(k, data)
		}
		switch {
		case err == nil:
		case errors.Is(err, errLeft):
			return
		case ctx.Err() != nil:
			_ = l.session.Close()
			return
		default:
			_ = l.session.Detach()
			return
		}
	}
}

// errLeft says that a guest has said good-bye.
var errLeft = errors.New("left")

func (l *lane) hear(k kind, data []byte) error {
	switch k {
	case kindInput:
		return l.queue(data)
	case kindInputEnd:
		l.change(func() { l.ended = true })
	case kindAck:
		end, err := parseOffset(data)
		if err != nil {
			return err
		}
		l.change(func() { l.acked = max(l.acked, min(end, l.sent)) })
		l.session.Ack(end)
	case kindResize, kindRedraw:
		var size shell.Winsize
		if err := parseJSON(data, &size); err != nil {
			return err
		}
		if k == kindResize {
			l.session.Resize(size)
		} else {
			l.session.Redraw(size)
		}
	case kindSignal:
		if len(data) > maxSignal {
			return errMessage
		}
		_ = l.session.Signal(string(data)) // one that is not taken has no effect, as one that is ignored
	case kindSuspend:
		return l.send(kindDone, flag(l.session.Suspend()))
	case kindContinue:
		l.session.Continue()
	case kindDetach:
		l.drain(drainTime)
		_ = l.send(kindDone, flag(l.session.Detach() == nil))
		return errLeft
	case kindClose:
		_ = l.send(kindDone, flag(l.session.Close() == nil))
		return errLeft
	default:
		return errMessage
	}
	return nil
}

// maxSignal bounds the name of a signal, in bytes.
const maxSignal = 16

// drainTime is how long input that has come is given to the session before it
// is left.
const drainTime = 2 * time.Second

// queue keeps input for the session. More than was allowed ends the connection.
func (l *lane) queue(data []byte) (err error) {
	l.change(func() {
		if l.ended || len(l.input)+l.taken+len(data) > inputWindow {
			err = errMessage
			return
		}
		l.input = append(l.input, data...)
	})
	return err
}

func (l *lane) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.changed.Broadcast()
}

// end lets everybody who waits go.
func (l *lane) end() { l.change(func() { l.over = true }) }

// give brings input to the session, which may not take it for long, and lets the
// guest send as much again.
func (l *lane) give() {
	var spare []byte
	for {
		p, ended := l.take(spare)
		if len(p) > 0 {
			if _, err := l.session.Write(p); err != nil {
				return // which the output tells better
			}
			l.credit(len(p))
			spare = p
			continue
		}
		if ended {
			_ = l.session.CloseWrite()
		}
		return
	}
}

// take returns all input that has come. It waits for some; with none it is over.
func (l *lane) take(spare []byte) (p []byte, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.input) == 0 && !l.ended && !l.over {
		l.changed.Wait()
	}
	p, l.input = l.input, spare[:0]
	l.changed.Broadcast()
	return p, l.ended && !l.over
}

// credit tells the guest what was taken, a quarter of the window at a time.
func (l *lane) credit(n int) {
	l.mu.Lock()
	l.taken += n
	n = 0
	if l.taken >= inputWindow/4 {
		n, l.taken = l.taken, 0
	}
	l.mu.Unlock()
	if n > 0 {
		_ = l.send(kindCredit, binary.BigEndian.AppendUint32(nil, uint32(n)))
	}
}

// drain waits until the session was given all input that has come, or for d.
func (l *lane) drain(d time.Duration) {
	late := false
	timer := time.AfterFunc(d, func() { l.change(func() { late = true }) })
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.input) > 0 && !late && !l.over {
		l.changed.Wait()
	}
}

// carry gives the guest what the session shows, up to its exit or its failure.
// The guest leaves then.
func (l *lane) carry(ctx context.Context) {
	for {
		f, err := l.session.Next(ctx)
		if ctx.Err() != nil {
			return // which stop tells
		}
		if err != nil {
			_ = l.sendJSON(kindFailed, l.holder.cfg.Explain(err, l.session))
			return
		}
		if !l.await(f) {
			return
		}
		l.writes.Lock()
		err = sendFrame(l.conn, f)
		l.writes.Unlock()
		if err != nil || f.Type == shell.FrameExit {
			return // listen notices who is gone
		}
	}
}

// await waits until the guest has room for a frame; false means that it is gone.
func (l *lane) await(f shell.Frame) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.sent-l.acked >= outputWindow && !l.over {
		l.changed.Wait()
	}
	l.sent = max(l.sent, f.End)
	return !l.over
}
