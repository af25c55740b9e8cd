package shellhttp

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"
)

// wrapped is a connection as a listener of the agent gives it to the server.
type wrapped struct{ *net.TCPConn }

// A connection holds little unsent, also one that a listener has wrapped.
func TestUnsentIsLimited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, wrap := range map[string]func(*net.TCPConn) net.Conn{
		"plain":       func(c *net.TCPConn) net.Conn { return c },
		"wrapped":     func(c *net.TCPConn) net.Conn { return wrapped{c} },
		"TLS on that": func(c *net.TCPConn) net.Conn { return tls.Server(wrapped{c}, &tls.Config{}) },
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		tcp := conn.(*net.TCPConn)
		limitUnsent(wrap(tcp))
		raw, err := tcp.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var limit int
		if e := raw.Control(func(fd uintptr) {
			limit, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat)
		}); e != nil || err != nil {
			t.Fatal(e, err)
		}
		if limit != unsentBytes {
			t.Errorf("%s: %d bytes, want %d", name, limit, unsentBytes)
		}
	}
}
