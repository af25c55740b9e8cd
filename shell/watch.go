package shell

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"
)

// maxWatchers bounds who looks on at a session at once.
const maxWatchers = 8

// Watcher reads what a session shows, and has no other part in it: it holds no
// output, types nothing, and keeps no session alive. One that is slow is given a
// [FrameGap] and goes on with what is recent. Next is for one goroutine; Close
// may be called from any.
type Watcher struct {
	session *Session
	cursor  *Cursor
	from    uint64
	end     uint64
	quiet   bool // the session was not told
	leave   sync.Once
	lent
}

// Watch lets somebody look on from an address, beginning up to [RedrawTail]
// bytes before what the client has acknowledged. The client is told, now and
// when nobody looks on any more, unless the grant says not to. It is refused with [ReasonSessionUnknown], and
// with [ReasonMaxSessions] while eight look on.
func (s *Session) Watch(remote netip.Addr) (*Watcher, error) {
	return s.watch(remote, s.backlog.redraw())
}

// WatchFrom is [Session.Watch] for somebody who looked on up to an output
// offset. What is not kept from there on is a gap; an offset beyond the end is
// refused with [ReasonOutput].
func (s *Session) WatchFrom(remote netip.Addr, from uint64) (*Watcher, error) {
	return s.watch(remote, from)
}

func (s *Session) watch(remote netip.Addr, from uint64) (*Watcher, error) {
	s.mu.Lock()
	defer s.unlock()
	if s.dropped {
		return nil, Deny(ReasonSessionUnknown, nil)
	}
	if s.watchers >= maxWatchers {
		return nil, &Denied{
			Reason: ReasonMaxSessions, Err: fmt.Errorf("%d watch the session", s.watchers),
			Public: "as many watch this session as may",
		}
	}
	c, err := s.backlog.Cursor(Skipping, from)
	if err != nil {
		return nil, Deny(ReasonOutput, err)
	}
	w := &Watcher{session: s, cursor: c, from: from, end: s.backlog.End(), quiet: s.grant.WatchQuietly}
	s.watchers++
	if !w.quiet {
		s.announced++
		s.notify(Notice{Code: "watched", Text: fmt.Sprintf("this session is watched from %v", remote)})
	}
	return w, nil
}

// From is the output offset at which the watcher began.
func (w *Watcher) From() uint64 { return w.from }

// End is the output offset that the session had reached then.
func (w *Watcher) End() uint64 { return w.end }

// Next returns the next frame: output of at most len(buf) bytes, a gap, the
// exit, or a keepalive, at most 10 seconds apart. It ends with io.EOF after the
// exit, when the session is forgotten or the watcher was closed; and with the
// context's error.
func (w *Watcher) Next(ctx context.Context, buf []byte) (Frame, error) {
	now := time.Now()
	quiet := time.NewTimer(nextKeepalive(now).Sub(now))
	defer quiet.Stop()
	for {
		f, ok, err := w.cursor.take(buf)
		if err == io.ErrClosedPipe {
			err = io.EOF
		}
		if ok || err != nil {
			return f, err
		}
		w.rest()
		select {
		case <-w.cursor.wake:
			buf = w.back(buf)
		case <-quiet.C:
			return Frame{Type: FrameKeepalive, End: w.cursor.position(), Data: appendKeepalive(w.back(buf)[:0])}, nil
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// Close ends the watching.
func (w *Watcher) Close() {
	w.leave.Do(func() {
		w.cursor.Close()
		s := w.session
		s.mu.Lock()
		defer s.unlock()
		s.watchers--
		if w.quiet {
			return
		}
		if s.announced--; s.announced == 0 {
			s.notify(Notice{Code: "watched", Text: "nobody watches this session any more"})
		}
	})
}
