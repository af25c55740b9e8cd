package forwardd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/forward"
)

// listening is one listen stream: what it listens on, and as what.
type listening struct {
	number  uint32
	on      []net.Listener // two for localhost: one of each family
	q       Question       // as it was allowed
	answer  forward.Answer
	cleanUp func()
}

func (l *listening) close() {
	for _, each := range l.on {
		each.Close()
	}
	if l.cleanUp != nil {
		l.cleanUp()
	}
}

// listen listens until the stream ends.
func (s *server) listen(stream *forward.Stream, r forward.Request) {
	number, ok := s.newListener()
	if !ok {
		no(stream, s.never(Question{Do: DoListen}, &forward.Refusal{Code: forward.CodeLimit, Detail: fmt.Sprintf("this session has %d listeners, and no more are taken", maxListeners)}))
		return
	}
	defer s.endListener(number)
	l, refusal := s.bind(r)
	if refusal != nil {
		no(stream, refusal)
		return
	}
	l.number, l.answer.Listener = number, number
	began := time.Now()
	var accepting sync.WaitGroup
	if err := forward.WriteAnswer(stream, l.answer); err == nil {
		for _, each := range l.on {
			accepting.Go(func() { s.accept(l, each) })
		}
		// Nothing comes; what ends this is the end.
		io.Copy(io.Discard, stream)
	}
	l.close()
	stream.Close()
	accepting.Wait()
	s.decider.Ended(l.q, End{Seconds: time.Since(began).Seconds()})
}

func (s *server) newListener() (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) >= maxListeners {
		return 0, false
	}
	s.last++
	s.listeners[s.last] = true
	return s.last, true
}

func (s *server) endListener(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, number)
}

// bind asks, and makes what was allowed.
func (s *server) bind(r forward.Request) (*listening, *forward.Refusal) {
	switch r.Listen {
	case forward.Unix:
		return s.bindPath(Question{Do: DoListen, Kind: forward.Unix, Path: resolvedParent(r.Path)}, r.Unlink, nil)
	case forward.Agent:
		return s.bindAgent()
	}
	q := Question{Do: DoListen, Kind: forward.TCP, Port: r.Port}
	address, err := netip.ParseAddr(r.Host)
	switch {
	case r.Host == "" || r.Host == "*" || err == nil && address.IsUnspecified():
		q.Host = "*"
	case err == nil:
		q.Addresses = []netip.Addr{address.Unmap()}
	case r.Host == "localhost":
		q.Host, q.Addresses = "localhost", []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	default:
		return nil, s.never(q, &forward.Refusal{Code: forward.CodeInvalid, Detail: "what is listened on is an address, localhost or *"})
	}
	permit, refusal := s.ask(q)
	if refusal != nil {
		return nil, refusal
	}
	l := &listening{q: q}
	if q.Host == "*" {
		permit.Addresses = nil
	}
	if l.on, l.answer.Port, err = listenTCP(s.ctx, permit.Addresses, r.Port); err != nil {
		return nil, s.failed(q, err)
	}
	l.q.Port = l.answer.Port
	return l, nil
}

// failed tells of something that was allowed and could not be done.
func (s *server) failed(q Question, err error) *forward.Refusal {
	refusal := explain(err)
	s.decider.Ended(q, End{Code: refusal.Code})
	return refusal
}

// resolvedParent is the path of something that is to be made: its directory free of
// symbolic links.
func resolvedParent(path string) string {
	return filepath.Join(resolved(filepath.Dir(path)), filepath.Base(filepath.Clean(path)))
}

func (s *server) bindPath(q Question, unlink bool, cleanUp func()) (*listening, *forward.Refusal) {
	if _, refusal := s.ask(q); refusal != nil {
		return nil, refusal
	}
	b, err := bindUnix(q.Path, unlink)
	if err != nil {
		return nil, s.failed(q, err)
	}
	return &listening{on: []net.Listener{b}, q: q, answer: forward.Answer{Path: q.Path}, cleanUp: cleanUp}, nil
}

// bindAgent makes a socket that only the user can reach, in a directory of its own.
func (s *server) bindAgent() (*listening, *forward.Refusal) {
	dir, err := os.MkdirTemp("", "shellagent-")
	if err == nil {
		err = os.Chmod(dir, 0o700) // whatever the umask left of it
	}
	if err != nil {
		return nil, explain(err)
	}
	cleanUp := func() { _ = unix.Rmdir(dir) }
	l, refusal := s.bindPath(Question{Do: DoListen, Kind: forward.Agent, Path: filepath.Join(resolved(dir), "agent.sock")}, false, cleanUp)
	if refusal != nil {
		cleanUp()
	}
	return l, refusal
}

// portTries is how often a port that the host chose may be taken on the next address.
const portTries = 8

// listenTCP listens on all the addresses, or with none on every one of the host, at
// one port: the host chooses it when port is 0.
func listenTCP(ctx context.Context, addresses []netip.Addr, port uint16) (on []net.Listener, chosen uint16, err error) {
	for range portTries {
		if on, chosen, err = listenOnce(ctx, addresses, port); port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return on, chosen, err
}

func listenOnce(ctx context.Context, addresses []netip.Addr, port uint16) (on []net.Listener, chosen uint16, err error) {
	var c net.ListenConfig
	if len(addresses) == 0 {
		l, err := c.Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return nil, 0, err
		}
		return []net.Listener{l}, portOf(l), nil
	}
	for _, a := range addresses {
		l, err := c.Listen(ctx, "tcp", netip.AddrPortFrom(a, port).String())
		// A host without the family has nobody who connects by it.
		if len(addresses) > 1 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
			continue
		}
		if err != nil {
			for _, each := range on {
				each.Close()
			}
			return nil, 0, err
		}
		on = append(on, l)
		port = portOf(l)
	}
	if len(on) == 0 {
		return nil, 0, syscall.EADDRNOTAVAIL
	}
	return on, port, nil
}

func portOf(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }
