package share

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Listener is a holder's socket.
type Listener struct {
	place Place
	unix  *net.UnixListener
}

// Listen makes the socket of a place, instead of one that nobody listens on any
// more. Whoever calls it has the place's lock, as what [Join] starts does; see
// [Claim] for others.
func Listen(p Place) (*Listener, error) {
	if c, err := net.Dial("unix", p.Socket); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s: another process holds a shared connection there", p.Socket)
	}
	info, err := os.Lstat(p.Socket)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&os.ModeSocket == 0 || !isOwn(info):
		return nil, fmt.Errorf("%s is there already, and is no socket of yours", p.Socket)
	default:
		if err := os.Remove(p.Socket); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.Socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("the socket of a shared connection: %w", err)
	}
	l.SetUnlinkOnClose(false) // Close does, under the lock
	if err := os.Chmod(p.Socket, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return &Listener{place: p, unix: l}, nil
}

// Claim is [Listen] for a process that was not started by [Join]: it takes the
// place's lock meanwhile.
func Claim(ctx context.Context, p Place) (*Listener, error) {
	lock, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	return Listen(p)
}

// Close takes the socket away and ends Accept. Who has connected and was not
// taken yet is told by the end of the connection, and connects anew.
func (l *Listener) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if lock, err := l.place.acquire(ctx); err == nil {
		defer lock.Close()
		os.Remove(l.place.Socket)
	}
	// Without the lock somebody is about to start another: the socket is stale
	// for them, and theirs to remove.
	l.unix.Close()
}
