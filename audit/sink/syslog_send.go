package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/audit"
)

// syslogSender speaks RFC 5424: a datagram for each event to a Unix socket, or
// octet counting (RFC 6587 §3.4.1) over TCP, or over TLS (RFC 5425). Syslog
// answers nothing: a line counts as taken once the receiver's kernel has
// acknowledged it on a connection that is still whole.
type syslogSender struct {
	cfg  Config
	conn net.Conn
	tcp  *net.TCPConn // under conn; nil for a Unix socket
}

func (s *syslogSender) send(ctx context.Context, lines []audit.Entry) (out outcome, err error) {
	if s.conn != nil && s.tcp != nil && !whole(s.tcp) {
		s.close()
	}
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			return out, err
		}
	}
	if err := s.conn.SetDeadline(time.Now().Add(s.cfg.Timeout)); err != nil {
		return out, err
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if s.tcp == nil {
		out, err = s.datagrams(lines)
	} else if err = s.stream(ctx, lines); err == nil {
		out.done = len(lines)
	}
	if err != nil {
		s.close()
	}
	return out, err
}

func (s *syslogSender) dial(ctx context.Context) error {
	network, address, _ := strings.Cut(s.cfg.Address, ":")
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	var d net.Dialer
	if network == "unix" {
		conn, err := d.DialContext(ctx, "unixgram", address)
		s.conn = conn
		return err
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s.conn, s.tcp = conn, conn.(*net.TCPConn)
	if network == "tcp" {
		return nil
	}
	host, _, _ := net.SplitHostPort(address)
	t, err := s.cfg.tlsConfig(host)
	if err == nil {
		secure := tls.Client(conn, t)
		s.conn, err = secure, secure.HandshakeContext(ctx)
	}
	if err != nil {
		s.close()
	}
	return err
}

func (s *syslogSender) facility() int { return facilities[s.cfg.Facility] }

func (s *syslogSender) datagrams(lines []audit.Entry) (out outcome, err error) {
	pid := strconv.Itoa(os.Getpid())
	for i, l := range lines {
		switch _, err := s.conn.Write(appendSyslog(nil, s.facility(), pid, l)); {
		case errors.Is(err, unix.EMSGSIZE):
			out.rejected = append(out.rejected, rejection{i, "too long for a datagram"})
		case err != nil:
			return out, err
		}
		out.done++
	}
	return out, nil
}

func (s *syslogSender) stream(ctx context.Context, lines []audit.Entry) error {
	pid := strconv.Itoa(os.Getpid())
	var b, message []byte
	for _, l := range lines {
		message = appendSyslog(message[:0], s.facility(), pid, l)
		b = append(strconv.AppendInt(b, int64(len(message)), 10), ' ')
		b = append(b, message...)
	}
	if _, err := s.conn.Write(b); err != nil {
		return err
	}
	return awaitAck(ctx, s.tcp, s.cfg.Timeout)
}

func (s *syslogSender) close() {
	if s.conn != nil {
		_ = s.conn.Close() // what counts was acknowledged before
	}
	s.conn, s.tcp = nil, nil
}

// awaitAck waits until the other side's kernel has all that was written.
func awaitAck(ctx context.Context, c *net.TCPConn, most time.Duration) error {
	deadline := time.Now().Add(most)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		queued, err := unsent(c)
		switch {
		case err != nil:
			return err
		case !whole(c):
			return errors.New("the receiver closed the connection")
		case queued == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the receiver did not acknowledge %d bytes within %v", queued, most)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unsent is how many bytes are written and not acknowledged (tcp(7), SIOCOUTQ).
func unsent(c *net.TCPConn) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	if err2 := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); err2 != nil {
		return 0, err2
	}
	return n, err
}

// whole says that neither side has closed the connection.
func whole(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	if err2 := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err2 != nil || err != nil {
		return false
	}
	const established = 1 // TCP_ESTABLISHED of linux/tcp_states.h
	return info.State == established
}
