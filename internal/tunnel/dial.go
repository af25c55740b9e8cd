package tunnel

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"shellagent/internal/forward"
	"shellagent/internal/sshargs"
)

// Dial connects over TCP from the agent's host, as net.Dialer's DialContext does
// from here: a link is a jump host (-J).
func (l *Link) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", text, err)
	}
	stream, err := l.Open(ctx, sshargs.Endpoint{Host: host, Port: int(port)})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return jumped{stream}, nil
}

// jumped is a connection that closes in both directions at once, as a socket does.
type jumped struct{ *forward.Stream }

// Close lets arrive what was written.
func (j jumped) Close() error {
	err := j.CloseWrite()
	j.Reset()
	return err
}
