package tunnel

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strconv"
	"syscall"

	"shellagent/internal/forward"
	"shellagent/internal/socks"
	"shellagent/internal/sshargs"
)

// Remote has the agent's host listen, and connections lead from here to f's
// destination, or to where they say if f is dynamic: -R. It returns where it listens.
func (s *Set) Remote(ctx context.Context, f sshargs.Forward) (sshargs.Endpoint, error) {
	r := forward.Request{Listen: forward.TCP, Host: f.Listen.Host, Port: uint16(f.Listen.Port)}
	if r.Host == "" {
		r.Host = "localhost"
	}
	if f.Listen.Path != "" {
		r = forward.Request{Listen: forward.Unix, Path: f.Listen.Path, Unlink: s.cfg.Unlink}
	}
	name := Name(sshargs.Remote, f)
	n, err := s.link.Listen(ctx, r, func(from string, stream *forward.Stream) {
		if c, err := s.begin(name, from, destination(f)); err != nil {
			refuse(stream, forward.CodeLimit, err)
		} else if f.IsDynamic() {
			s.bringDynamic(c, stream)
		} else {
			s.bring(c, stream, f.Connect)
		}
	})
	if err != nil {
		return f.Listen, err
	}
	return n.At, s.listens(name, n)
}

func destination(f sshargs.Forward) string {
	if f.IsDynamic() {
		return ""
	}
	return f.Connect.String()
}

// bring connects a stream that came in at the agent's host.
func (s *Set) bring(c *Connection, stream *forward.Stream, to sshargs.Endpoint) {
	conn, err := s.dial(to)
	if err != nil {
		refuse(stream, codeOf(err), err)
		s.failed(c, err)
		return
	}
	if err := forward.WriteAnswer(stream, forward.Answer{}); err != nil {
		stream.Reset()
		conn.Close()
		s.failed(c, err)
		return
	}
	s.spliceHere(c, conn, stream)
}

var errNotPermitted = errors.New("it is not permitted here (PermitRemoteOpen)")

// bringDynamic connects one that says by SOCKS where it leads.
func (s *Set) bringDynamic(c *Connection, stream *forward.Stream) {
	err := forward.WriteAnswer(stream, forward.Answer{})
	if err != nil {
		stream.Reset()
		s.failed(c, err)
		return
	}
	request, err := handshake(stream)
	if err != nil {
		stream.Reset()
		s.failed(c, err)
		return
	}
	to := sshargs.Endpoint{Host: request.Host, Port: request.Port}
	s.leads(c, to)
	if !s.cfg.Permit.Allows(to) {
		_ = request.Refuse(stream, socks.Denied)
		_ = stream.Close()
		s.failed(c, errNotPermitted)
		return
	}
	conn, err := s.dial(to)
	if err != nil {
		_ = request.Refuse(stream, causeOf(&forward.Refusal{Code: codeOf(err)}))
		_ = stream.Close()
		s.failed(c, err)
		return
	}
	if err := request.Grant(stream); err != nil {
		stream.Reset()
		conn.Close()
		s.failed(c, err)
		return
	}
	s.spliceHere(c, conn, stream)
}

func (s *Set) dial(to sshargs.Endpoint) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, dialTime)
	defer cancel()
	if to.Path != "" {
		return s.cfg.Dial(ctx, "unix", to.Path)
	}
	return s.cfg.Dial(ctx, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(to.Port)))
}

func (s *Set) spliceHere(c *Connection, conn net.Conn, stream *forward.Stream) {
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	defer stop()
	s.splice(c, forward.Socket(conn), stream)
}

// refuse answers a stream that came in with no.
func refuse(stream *forward.Stream, code forward.Code, err error) {
	_ = forward.WriteAnswer(stream, forward.No(code, err.Error()))
	_ = stream.Close()
}

// codeOf says to the agent why a connection from here failed.
func codeOf(err error) forward.Code {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound, errors.Is(err, fs.ErrNotExist):
		return forward.CodeNotFound
	case errors.Is(err, syscall.ECONNREFUSED):
		return forward.CodeRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return forward.CodeUnreachable
	case errors.As(err, &timeout) && timeout.Timeout():
		return forward.CodeTimeout
	}
	return forward.CodeFailed
}
