package forwardd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"shellagent/internal/forward"
)

const (
	// lookupTimeout bounds the look-up of a name.
	lookupTimeout = 10 * time.Second
	// dialTimeout bounds the opening of a connection, to all addresses together.
	dialTimeout = 30 * time.Second
	// nextAddress is how long one address may take before the next is tried
	// beside it (RFC 8305 §5 recommends 250 ms).
	nextAddress = 250 * time.Millisecond
	// maxAddresses bounds how many addresses of one name are asked about.
	maxAddresses = 16
)

// open makes the stream a connection.
func (s *server) open(stream *forward.Stream, r forward.Request) {
	if !s.beginPending() {
		no(stream, s.never(Question{Do: DoOpen}, &forward.Refusal{Code: forward.CodeLimit, Detail: fmt.Sprintf("%d connections are being opened already", maxPending)}))
		return
	}
	conn, q, refusal := s.connect(r)
	s.endPending()
	if refusal != nil {
		no(stream, refusal)
		return
	}
	if err := forward.WriteAnswer(stream, forward.Answer{}); err != nil {
		conn.Close()
		stream.Reset()
		s.decider.Ended(q, End{Broken: true})
		return
	}
	s.splice(stream, forward.Socket(conn), q)
}

// connect asks, and opens what was allowed.
func (s *server) connect(r forward.Request) (net.Conn, Question, *forward.Refusal) {
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	defer cancel()
	var q Question
	var dial func() (net.Conn, error)
	var refusal *forward.Refusal
	if r.Open == forward.Unix {
		q = Question{Do: DoOpen, Kind: forward.Unix, Path: resolved(r.Path)}
		_, refusal = s.ask(q)
		dial = func() (net.Conn, error) { return dialUnix(ctx, q.Path) }
	} else {
		var permit Permit
		q, permit, refusal = s.askTCP(ctx, DoOpen, r)
		dial = func() (net.Conn, error) { return dialAny(ctx, permit.Addresses, r.Port) }
	}
	if refusal != nil {
		return nil, q, refusal
	}
	conn, err := dial()
	if err != nil {
		refusal = explain(err)
		s.decider.Ended(q, End{Code: refusal.Code})
	}
	return conn, q, refusal
}

// askTCP asks for a host, and with its addresses if the answer depends on them:
// a name that may not be reached whatever it is, is not even looked up.
func (s *server) askTCP(ctx context.Context, do string, r forward.Request) (Question, Permit, *forward.Refusal) {
	q := Question{Do: do, Kind: forward.TCP, Port: r.Port}
	if address, err := netip.ParseAddr(r.Host); err == nil {
		q.Addresses = []netip.Addr{reachable(address)}
	} else {
		q.Host = strings.ToLower(strings.TrimSuffix(r.Host, "."))
	}
	permit, refusal := s.ask(q)
	if refusal != nil || !permit.Lookup {
		return q, permit, refusal
	}
	addresses, err := lookup(ctx, q.Host)
	if err != nil {
		return q, permit, s.never(q, explain(err))
	}
	q.Addresses = addresses
	permit, refusal = s.ask(q)
	return q, permit, refusal
}

// reachable is the address that a connection to a would go to: the kernel takes
// the unspecified one for this host.
func reachable(a netip.Addr) netip.Addr {
	a = a.Unmap()
	switch {
	case a == netip.IPv4Unspecified():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case a == netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	}
	return a
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i, a := range found {
		found[i] = reachable(a)
	}
	return found[:min(len(found), maxAddresses)], nil
}

// dialAny opens a connection to whichever of the addresses answers first. They
// are tried in their order.
func dialAny(ctx context.Context, addresses []netip.Addr, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addresses))
	tries, next := 0, time.NewTimer(0)
	defer next.Stop()
	err := error(syscall.EHOSTUNREACH)
	for left := len(addresses); left > 0; {
		select {
		case <-next.C:
			if tries < len(addresses) {
				to := netip.AddrPortFrom(addresses[tries], port).String()
				tries++
				go func() {
					var d net.Dialer
					conn, err := d.DialContext(ctx, "tcp", to)
					results <- result{conn, err}
				}()
				next.Reset(nextAddress)
			}
		case r := <-results:
			left--
			if r.err != nil {
				err = r.err
				next.Reset(0)
				continue
			}
			cancel()
			for others := tries - (len(addresses) - left); others > 0; others-- {
				if late := <-results; late.err == nil {
					late.conn.Close()
				}
			}
			return r.conn, nil
		}
	}
	return nil, err
}

// explain says to the client why something could not be opened.
func explain(err error) *forward.Refusal {
	refusal := &forward.Refusal{Code: forward.CodeFailed, Detail: sentence(err)}
	var dns *net.DNSError
	var op net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		refusal.Code, refusal.Detail = forward.CodeNotFound, fmt.Sprintf("the host knows no %s", dns.Name)
	case errors.As(err, &dns):
		refusal.Detail = fmt.Sprintf("the host could not look up %s: %s", dns.Name, dns.Err)
		if dns.IsTimeout {
			refusal.Code = forward.CodeTimeout
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		refusal.Code = forward.CodeRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		refusal.Code = forward.CodeUnreachable
	case errors.Is(err, fs.ErrNotExist):
		refusal.Code = forward.CodeNotFound
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		refusal.Code = forward.CodeLimit
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &op) && op.Timeout():
		refusal.Code, refusal.Detail = forward.CodeTimeout, "nobody answered in time"
	}
	return refusal
}

// sentence leaves out what was tried, which the client said itself.
func sentence(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
