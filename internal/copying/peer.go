package copying

import (
	"context"
	"io"
)

// Peer is a server that has agreed to a request. It is good for one copy.
type Peer struct {
	in    *reader
	out   *writer
	o     Options
	asked asked  // what it was asked to send
	takes uint64 // how many offers it takes
	// Sources is how many things a server sends that was asked to.
	Sources int
}

// RefusedError is a server's word on why it does nothing.
type RefusedError struct{ Text string }

// Error implements error.
func (e *RefusedError) Error() string { return e.Text }

// AskToSend asks a server for paths on its side, which may be patterns. The error
// is a *[RefusedError], or of a stream.
func AskToSend(in io.Reader, out io.Writer, paths []string, o Options) (*Peer, error) {
	return ask(in, out, record{kind: kindRequest, paths: paths, flags: o.flags()}, o)
}

// AskToReceive asks a server to take what it is sent to a path on its side. The
// error is a *[RefusedError], or of a stream.
func AskToReceive(in io.Reader, out io.Writer, to string, o Options) (*Peer, error) {
	return ask(in, out, record{kind: kindRequest, paths: []string{to}, flags: o.flags() | flagReceive}, o)
}

func ask(in io.Reader, out io.Writer, r record, o Options) (*Peer, error) {
	if r.count = uint64(offersFor(openFiles())); o.Relayed {
		r.count = min(r.count, fewOffers)
	}
	p := &Peer{in: newReader(in), out: newWriter(out), o: o, asked: r.paths}
	total := 0
	for _, path := range r.paths {
		if total += len(path) + 4; len(path) > maxText || total > maxRequest-64 {
			return nil, &RefusedError{"the paths are too long for one request"}
		}
	}
	if len(r.paths) > maxPaths {
		return nil, &RefusedError{"there are too many paths for one request"}
	}
	_ = p.out.raw([]byte(greeting))
	_ = p.out.put(&r)
	if err := p.out.flush(); err != nil {
		return nil, err
	}
	if err := p.in.greet(); err != nil {
		return nil, err
	}
	answer, _, err := p.in.next()
	switch {
	case err != nil:
		return nil, err
	case answer.kind == kindRefused:
		return nil, &RefusedError{answer.text}
	case answer.kind != kindReady || answer.count > maxPaths:
		return nil, malformed("it answers a request with record %d", answer.kind)
	}
	p.takes, p.Sources = answer.count, int(answer.count)
	return p, nil
}

// Send sends sources of this side to a server that was asked to receive, until it
// has dealt with all of them. What cannot be read here or written there is told
// to watch, and the rest goes on. An error says why not even that. When the context
// ends the caller has to end the streams.
func (p *Peer) Send(ctx context.Context, place Place, sources []string, watch Observer) error {
	return send(ctx, place, sources, p.o, p.takes, p.in, p.out, watch)
}

// Receive takes what a server was asked to send into a destination of this side, as
// cp does: into it where it is a directory, else under its name. Otherwise it is
// as [Peer.Send]; a destination that cannot be is a *[RefusedError].
func (p *Peer) Receive(ctx context.Context, place Place, to string, watch Observer) error {
	o := p.o
	o.Into = o.Into || p.Sources > 1
	d, err := openDestination(place, to, o)
	if err != nil {
		return &RefusedError{err.Error()}
	}
	defer d.dir.release()
	d.asked = p.asked
	return receive(ctx, d, o, p.in, p.out, watch)
}
