// Package socks is a proxy's side of the handshakes of SOCKS 4, 4A and 5 (RFC
// 1928): what a client asks to be connected to, and the answer. It knows CONNECT
// alone, asks for no password, and opens nothing itself.
package socks

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrProtocol says that what was read is no request that this package takes. The
// client was answered as far as its protocol has an answer.
var ErrProtocol = errors.New("no SOCKS request")

// maxName bounds a host's name and a SOCKS 4 user's, in bytes: a byte counts them
// in SOCKS 5.
const maxName = 255

// Request is where a client wants to be connected to. Only one that [Accept]
// returned can be answered.
type Request struct {
	// Host is a name or an IP address without brackets, as the client gave it.
	Host string
	// Port is from 1 to 65535.
	Port int

	version byte
}

// Address is host:port, with an IPv6 address in brackets.
func (r Request) Address() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// Cause is why a request is refused. Its zero value is a failure of no known kind.
type Cause uint8

// Causes, as RFC 1928, section 6, tells them apart. SOCKS 4 does not.
const (
	Failed Cause = iota
	Denied
	NetworkUnreachable
	HostUnreachable
	Refused
	TimedOut
	badCommand
	badAddress
)

// Accept reads a request, and not a byte of what follows it. Its errors are of
// reading and writing, or wrap [ErrProtocol]. Whoever calls it bounds its time.
func Accept(client io.ReadWriter) (Request, error) {
	var version [1]byte
	if _, err := io.ReadFull(client, version[:]); err != nil {
		return Request{}, err
	}
	switch version[0] {
	case 4:
		return accept4(client)
	case 5:
		return accept5(client)
	}
	return Request{}, fmt.Errorf("%w: version %d", ErrProtocol, version[0])
}

// Grant tells the client that it is connected.
func (r Request) Grant(client io.Writer) error { return r.reply(client, granted) }

// Refuse tells the client that it is not.
func (r Request) Refuse(client io.Writer, why Cause) error { return r.reply(client, int(why)) }

const granted = -1

func (r Request) reply(client io.Writer, what int) error {
	if r.version == 4 {
		return reply4(client, what == granted)
	}
	return reply5(client, what)
}

// checked refuses what no connection can lead to. How a name is spelled is the
// resolver's to judge, so far as it can be written down.
func (r Request) checked() (Request, error) {
	switch {
	case r.Port == 0:
		return r, fmt.Errorf("%w: port 0", ErrProtocol)
	case r.Host == "" || len(r.Host) > maxName || !utf8.ValidString(r.Host) || strings.ContainsFunc(r.Host, isUnfit):
		return r, fmt.Errorf("%w: the host %q", ErrProtocol, r.Host)
	}
	return r, nil
}

func isUnfit(c rune) bool { return c <= ' ' || c == 0x7f }
