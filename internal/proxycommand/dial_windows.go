package proxycommand

import (
	"context"
	"errors"
	"io"
	"net"
)

// Dial fails: this system has no socket that a program could have for its
// standard streams.
func Dial(context.Context, string, string, io.Writer) (net.Conn, error) {
	return nil, errors.New("ProxyCommand: there is none on Windows")
}
