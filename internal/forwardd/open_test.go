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
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/forward"
)

func TestWhyInCodes(t *testing.T) {
	op := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for _, tt := range []struct {
		err    error
		want   forward.Code
		detail string
	}{
		{op(syscall.ECONNREFUSED), forward.CodeRefused, "connection refused"},
		{op(syscall.EHOSTUNREACH), forward.CodeUnreachable, "no route to host"},
		{op(syscall.ENETUNREACH), forward.CodeUnreachable, "network is unreachable"},
		{op(syscall.ETIMEDOUT), forward.CodeTimeout, "nobody answered in time"},
		{op(syscall.ENOENT), forward.CodeNotFound, "no such file or directory"},
		{fs.ErrNotExist, forward.CodeNotFound, "file does not exist"},
		{op(syscall.EACCES), forward.CodeFailed, "permission denied"},
		{op(syscall.EADDRINUSE), forward.CodeFailed, "address already in use"},
		{op(syscall.EMFILE), forward.CodeLimit, "too many open files"},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), forward.CodeTimeout, "nobody answered in time"},
		{&net.DNSError{Name: "db", Err: "no such host", IsNotFound: true}, forward.CodeNotFound, "the host knows no db"},
		{&net.DNSError{Name: "db", Err: "i/o timeout", IsTimeout: true}, forward.CodeTimeout, "could not look up db: i/o timeout"},
		{&net.DNSError{Name: "db", Err: "server misbehaving"}, forward.CodeFailed, "could not look up db: server misbehaving"},
		{errMoved, forward.CodeFailed, "a symbolic link came into the path"},
	} {
		if got := explain(tt.err); got.Code != tt.want || !strings.Contains(got.Detail, tt.detail) {
			t.Errorf("%v: %s, %q", tt.err, got.Code, got.Detail)
		}
	}
}

// full listens at an address whose connections are not taken any more, so that the
// kernel answers nobody there.
func full(t *testing.T, port uint16) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	at := &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 2}}
	if err := errors.Join(unix.Bind(fd, at), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(netip.AddrFrom4(at.Addr), port).String(), 300*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
}

// An address that does not answer keeps nobody from the next.
func TestTheNextAddressIsTriedBesideASlowOne(t *testing.T) {
	l := echoes(t, "tcp", "127.0.0.1:0")
	port := tcpPort(l)
	full(t, port)
	r := &rules{ask: func(q Question) (Permit, error) {
		return Permit{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.1")}}, nil
	}}
	client := serve(t, r)
	s, _, err := client.Ask(limited(t), forward.Request{Open: forward.TCP, Host: "localhost", Port: port})
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s)
}

// A session that ends does not wait for what it dials.
func TestTheEndOfASessionEndsItsDials(t *testing.T) {
	l := echoes(t, "tcp", "127.0.0.1:0")
	port := tcpPort(l)
	full(t, port)
	r := &rules{ask: func(q Question) (Permit, error) {
		return Permit{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.2")}}, nil
	}}
	client := serve(t, r)
	failed := make(chan error)
	go func() {
		_, _, err := client.Ask(limited(t), forward.Request{Open: forward.TCP, Host: "localhost", Port: port})
		failed <- err
	}()
	for len(r.questions()) == 0 {
		await(time.Millisecond)
	}
	client.Close() // and the test's end waits for the server's
	if err := <-failed; err == nil {
		t.Error("it was opened")
	}
}
