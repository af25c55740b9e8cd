package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"shellagent/internal/forward"
	"shellagent/internal/sshargs"
)

// ErrOver says that a link has ended, or was closed.
var ErrOver = errors.New("the forwarding has ended")

// Link is a session that carries connections. It is safe for concurrent use.
type Link struct {
	mux     *forward.Mux
	pipe    *pipe
	running sync.WaitGroup

	mu        sync.Mutex
	changed   sync.Cond // anything below has changed
	listeners map[uint32]*Listener
	asking    int // for listeners whose numbers are not known yet
	over      bool
}

// NewLink makes a link of a session that speaks forward's protocol, and owns it
// from then on. say, unless nil, is told what the agent has to say to the person
// (a notice), and what its end writes to standard error; it must not block.
func NewLink(s Session, say func(text string, notice bool)) (*Link, error) {
	if say == nil {
		say = func(string, bool) {}
	}
	l := &Link{pipe: newPipe(s, say), listeners: make(map[uint32]*Listener)}
	l.changed.L = &l.mu
	var err error
	if l.mux, err = forward.NewClient(l.pipe); err != nil {
		_ = s.Close()
		return nil, err
	}
	l.running.Go(l.accept)
	return l, nil
}

// Open connects to an endpoint as the agent's host sees it. A refusal is a
// *[forward.Refusal].
func (l *Link) Open(ctx context.Context, to sshargs.Endpoint) (*forward.Stream, error) {
	r := forward.Request{Open: forward.TCP, Host: to.Host, Port: uint16(to.Port)}
	if to.Path != "" {
		r = forward.Request{Open: forward.Unix, Path: to.Path}
	}
	stream, _, err := l.mux.Ask(ctx, r)
	return stream, l.told(err)
}

// told says why the link has ended in place of how that was noticed.
func (l *Link) told(err error) error {
	var refusal *forward.Refusal
	if err == nil || errors.As(err, &refusal) {
		return err
	}
	select {
	case <-l.mux.Done():
		return l.Err()
	default:
		return err
	}
}

// Listener is what listens at the agent's host.
type Listener struct {
	// At is where, with the port that was chosen.
	At sshargs.Endpoint

	link   *Link
	number uint32
	stream *forward.Stream
	serve  func(from string, stream *forward.Stream)
}

// Listen has the agent's host listen. serve is called on a goroutine of its own
// for each connection, of which from is the other end, or ""; it answers the
// stream ([forward.WriteAnswer]) and closes it.
func (l *Link) Listen(ctx context.Context, r forward.Request, serve func(from string, stream *forward.Stream)) (*Listener, error) {
	l.change(func() { l.asking++ })
	defer l.change(func() { l.asking-- })
	stream, answer, err := l.mux.Ask(ctx, r)
	if err != nil {
		return nil, l.told(err)
	}
	at := sshargs.Endpoint{Host: r.Host, Port: int(answer.Port), Path: answer.Path}
	if at.Path == "" {
		at.Path = r.Path
	}
	if at.Port == 0 {
		at.Port = int(r.Port)
	}
	n := &Listener{At: at, link: l, number: answer.Listener, stream: stream, serve: serve}
	known := false
	l.change(func() {
		if _, known = l.listeners[n.number]; !known {
			l.listeners[n.number] = n
		}
	})
	if known || n.number == 0 {
		stream.Reset()
		return nil, fmt.Errorf("the agent names the listener %d, which is not one", n.number)
	}
	l.running.Go(n.watch)
	return n, nil
}

// watch forgets the listener once the agent ends it.
func (n *Listener) watch() {
	_, _ = io.Copy(io.Discard, n.stream)
	_ = n.Close()
}

// Close ends it. Connections that came in stay.
func (n *Listener) Close() error {
	n.link.change(func() { delete(n.link.listeners, n.number) })
	return n.stream.Reset()
}

func (l *Link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.changed.Broadcast()
}

// accept takes what comes in at the agent's host. The multiplexer bounds how many
// streams there are.
func (l *Link) accept() {
	defer l.change(func() { l.over = true })
	for {
		stream, err := l.mux.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.take(stream) })
	}
}

func (l *Link) take(stream *forward.Stream) {
	accepted, err := forward.ReadAccepted(stream)
	if err != nil {
		stream.Reset()
		return
	}
	n := l.find(accepted.Listener)
	if n == nil {
		_ = forward.WriteAnswer(stream, forward.No(forward.CodeInvalid, "there is no such listener"))
		stream.Close()
		return
	}
	n.serve(accepted.From, stream)
}

// find returns a listener. One that was just asked for may have a connection
// before its number is known here.
func (l *Link) find(number uint32) *Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.listeners[number] == nil && l.asking > 0 && !l.over {
		l.changed.Wait()
	}
	return l.listeners[number]
}

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.mux.Done() }

// Err is why a link that is done has ended: [ErrOver] if nobody says more.
func (l *Link) Err() error {
	select {
	case <-l.pipe.over:
		if err := l.pipe.err; !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
			return err
		}
	default:
	}
	return ErrOver
}

// Finish has the agent's end carry to their ends what it was given, takes nothing
// more, and returns when that has ended, or with ctx's error. Close it in any case.
func (l *Link) Finish(ctx context.Context) error {
	stream, err := l.mux.Open(ctx)
	if err != nil {
		return err
	}
	// What waits to be sent goes before what is sent now.
	select {
	case <-l.pipe.awaitBeginning(stream.StreamID()):
	case <-l.mux.Done():
		return l.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return l.pipe.finish(ctx)
}

// Close ends the link within seconds, whatever goes over it.
func (l *Link) Close() error {
	err := l.mux.Close()
	l.running.Wait()
	return err
}
