package shellhttp

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/shell"
)

// lastingOutput is readUntil for a lasting session.
func lastingOutput(l *Lasting, each func(shell.Frame)) (o output, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		f, err := l.Next(ctx)
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err != nil {
			return o, err
		}
		switch f.Type {
		case shell.FrameStdout:
			o.out = append(o.out, f.Data...)
		case shell.FrameStderr:
			o.err = append(o.err, f.Data...)
		case shell.FrameExit:
			if o.exit.Data != nil {
				return o, errors.New("a second exit")
			}
			o.exit = shell.Frame{Type: f.Type, End: f.End, Data: append([]byte(nil), f.Data...)}
		}
		if each != nil {
			each(f)
		}
		l.Ack(f.End)
	}
}

// Every connection breaks after a random number of bytes, both ways are full,
// and nothing is lost, doubled or reordered.
func TestLastingSessionSurvivesCuts(t *testing.T) {
	for name, enc := range encodings {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			server := serve(t, b)
			p := proxied(t, server)
			s := open(t, server.client(t, func(cfg *ClientConfig) { cfg.Encoding = enc }), "cat", shell.OpenRequest{}).Lasting(nil)
			want := make([]byte, 6<<20)
			rand.NewChaCha8([32]byte{2}).Read(want)
			go func() {
				if _, err := s.Write(want); err != nil {
					t.Error(err)
				}
				s.CloseWrite()
			}()
			cuts, got, next := 0, 0, 100_000
			o, err := lastingOutput(s, func(f shell.Frame) {
				if got += len(f.Data); got > next {
					next += 100_000 + rand.IntN(500_000)
					cuts++
					p.cut()
				}
			})
			if err != nil {
				t.Fatalf("after %d bytes and %d cuts: %v", len(o.out), cuts, err)
			}
			if cuts < 5 || sha256.Sum256(o.out) != sha256.Sum256(want) {
				t.Errorf("%d cuts, %d bytes of %d", cuts, len(o.out), len(want))
			}
		})
	}
}

// outages collects what a person would be told.
type outages struct {
	mu   sync.Mutex
	told []Outage
}

func (o *outages) tell(u Outage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, u)
}

func (o *outages) is(over ...bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.told) != len(over) {
		return false
	}
	for i, u := range o.told {
		if u.Over != over[i] || !errors.Is(u.Cause, ErrCut) {
			return false
		}
	}
	return true
}

func TestOutagesAreToldOnceTheyLast(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	p := proxied(t, server)
	c := server.client(t)
	c.times.noticeable = 50 * time.Millisecond
	var told outages
	s := open(t, c, "cat", shell.OpenRequest{}).Lasting(told.tell)
	p.refuse(true)
	p.cut()
	frames := make(chan error, 1)
	go func() {
		o, err := lastingOutput(s, nil)
		if err == nil && string(o.out) != "typed meanwhile" {
			err = errors.New(string(o.out))
		}
		frames <- err
	}()
	eventually(t, "told", func() bool { return told.is(false) })
	io.WriteString(s, "typed meanwhile")
	s.CloseWrite()
	p.refuse(false)
	if err := <-frames; err != nil {
		t.Error(err)
	}
	if !told.is(false, true) {
		t.Errorf("told %+v", told.told)
	}
}

func TestShortOutagesAreQuiet(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	p := proxied(t, server)
	c := server.client(t)
	c.times.noticeable = time.Minute
	var told outages
	s := open(t, c, "cat", shell.OpenRequest{}).Lasting(told.tell)
	p.cut()
	io.WriteString(s, "x")
	s.CloseWrite()
	if o, err := lastingOutput(s, nil); err != nil || string(o.out) != "x" || !told.is() {
		t.Errorf("%q, %v, told %+v", o.out, err, told.told)
	}
}

// What ends the tries, each within its time.
func TestLastingSessionGivesUp(t *testing.T) {
	type state struct {
		b *testBroker
		p *cutProxy
		s *Lasting
		c *Client
	}
	for name, c := range map[string]struct {
		prepare func(*state)
		is      func(error) bool
	}{
		"the session is gone": {
			prepare: func(st *state) {
				st.b.before = func(call *shell.Call) (*shell.Reply, error) {
					return problemOf(shell.Deny(shell.ReasonSessionUnknown, nil)), nil
				}
			},
			is: func(err error) bool {
				var lost *LostError
				var p *Problem
				return errors.As(err, &lost) && lost.Gone && errors.Is(err, ErrCut) && errors.As(lost.Last, &p) && p.Code == "session_not_found"
			},
		},
		"it was taken over": {
			prepare: func(st *state) {
				core := st.b.registry.ByID(st.s.Info().ID)
				if _, err := core.TakeOver("other", netip.Addr{}); err != nil {
					t.Error(err)
				}
			},
			is: func(err error) bool {
				var p *Problem
				return errors.As(err, &p) && p.Code == "taken_over"
			},
		},
		"nobody listens": {
			prepare: func(st *state) { st.p.l.Close() },
			is: func(err error) bool {
				var lost *LostError
				return errors.As(err, &lost) && !lost.Gone && isRefused(lost.Last)
			},
		},
		"nothing answers for longer than it is kept": {
			prepare: func(st *state) { st.p.refuse(true) },
			is: func(err error) bool {
				var lost *LostError
				return errors.As(err, &lost) && !lost.Gone && errors.Is(err, ErrCut)
			},
		},
		"the wrong host answers": {
			prepare: func(st *state) {
				other := newTestBroker(t, nil)
				st.b.mu.Lock()
				st.b.host = other.host
				st.b.mu.Unlock()
			},
			is: func(err error) bool { return errors.Is(err, ErrHost) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"wait": waitScript})
			b.linger = 200 * time.Millisecond
			server := serve(t, b)
			p := proxied(t, server)
			client := server.client(t)
			client.times.refused, client.times.margin = 300*time.Millisecond, 300*time.Millisecond
			s := open(t, client, "wait", shell.OpenRequest{}).Lasting(nil)
			c.prepare(&state{b, p, s, client})
			p.cut()
			began := time.Now()
			_, err := lastingOutput(s, nil)
			if !c.is(err) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("after %v", took)
			}
		})
	}
}

func TestALastingSessionIsLeftAtOnce(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	server := serve(t, b)
	p := proxied(t, server)
	s := open(t, server.client(t), "wait", shell.OpenRequest{}).Lasting(nil)
	p.refuse(true)
	p.cut()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) || time.Since(began) > 2*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

// A connection whose address this machine no longer has is given up at once.
func TestAnAddressThatIsGone(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	s := open(t, server.client(t), "cat", shell.OpenRequest{}).Lasting(nil)
	s.readdressed()
	if b.seen("GET ") != 0 {
		t.Error("a good connection was cut")
	}
	elsewhere := *s.stream.over.local
	elsewhere.IP = []byte{192, 0, 2, 1}
	s.stream.over.local = &elsewhere
	s.readdressed()
	io.WriteString(s, "x")
	s.CloseWrite()
	if o, err := lastingOutput(s, nil); err != nil || string(o.out) != "x" {
		t.Errorf("%q, %v", o.out, err)
	}
	if b.seen("GET ") == 0 {
		t.Error("the connection was kept")
	}
}

// A client that stops says so: its session is one without a client until it goes on.
func TestSuspendAndContinue(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	p := proxied(t, server)
	c := server.client(t)
	s := open(t, c, "cat", shell.OpenRequest{Terminal: terminal}).Lasting(nil)
	core := b.registry.ByID(s.Info().ID)
	var got output
	done := make(chan error, 1)
	go func() {
		var err error
		got, err = lastingOutput(s, nil)
		done <- err
	}()
	io.WriteString(s, "before ")
	if !s.Suspend() || core.Attached() {
		t.Error("the agent does not know, or has the session attached")
	}
	io.WriteString(s, "meanwhile ")
	eventually(t, "shown", func() bool { return core.Summary().Output == uint64(len("before meanwhile ")) })
	if core.Attached() || b.seen("GET ") != 0 {
		t.Error("a client that is suspended has come back")
	}
	s.Continue()
	eventually(t, "attached", core.Attached)

	// An agent that cannot be told is not waited for, nor told later.
	p.refuse(true)
	p.cut()
	if s.Suspend() {
		t.Error("an agent that cannot be reached was told")
	}
	s.Continue()
	p.refuse(false)
	io.WriteString(s, "after")
	s.CloseWrite()
	if err := <-done; err != nil || string(got.out) != "before meanwhile after" {
		t.Errorf("%q, %v", got.out, err)
	}
	if s.Suspend() {
		t.Error("a session that has ended was suspended")
	}
}

// Input whose requests hang on a dead connection goes on as soon as the stream
// does, not when they time out.
func TestInputInFlightIsRenewed(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	var first atomic.Bool
	hung := make(chan struct{})
	over := make(chan struct{})
	defer close(over)
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if isStdin(call) && first.CompareAndSwap(false, true) {
			close(hung)
			<-over
		}
		return nil, nil
	}
	s := open(t, server.client(t), "cat", shell.OpenRequest{Terminal: terminal}).Lasting(nil)
	io.WriteString(s, "typed")
	s.CloseWrite()
	<-hung
	b.mu.Lock()
	core := b.clients[s.Info().ID].session
	b.mu.Unlock()
	began := time.Now()
	// Only the stream's connection is cut.
	if _, err := core.Attach(s.Info().ID, netip.Addr{}, 0); err != nil {
		t.Fatal(err)
	}
	if o, err := lastingOutput(s, nil); err != nil || string(o.out) != "typed" || time.Since(began) > 5*time.Second {
		t.Errorf("%q, %v after %v", o.out, err, time.Since(began))
	}
}
