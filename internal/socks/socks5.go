package socks

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
)

// Bytes of RFC 1928.
const (
	noPassword = 0x00
	noMethod   = 0xff
	typeIPv4   = 1
	typeName   = 3
	typeIPv6   = 4
)

// replies are RFC 1928's REP of a cause.
var replies = map[Cause]byte{
	Failed: 1, Denied: 2, NetworkUnreachable: 3, HostUnreachable: 4, Refused: 5, TimedOut: 6, badCommand: 7, badAddress: 8,
}

// accept5 settles on no password and reads a request of SOCKS 5 behind its first
// version.
func accept5(client io.ReadWriter) (Request, error) {
	r := Request{version: 5}
	if err := settle(client); err != nil {
		return r, err
	}
	var head [4]byte // version, command, reserved, type of the address
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return r, err
	}
	if head[0] != 5 || head[2] != 0 {
		return r, fmt.Errorf("%w: it begins with % x", ErrProtocol, head)
	}
	if known, err := r.readAddress(client, head[3]); err != nil {
		if !known {
			_ = r.Refuse(client, badAddress)
		}
		return r, err
	}
	if head[1] != connect {
		_ = r.Refuse(client, badCommand)
		return r, fmt.Errorf("%w: command %d", ErrProtocol, head[1])
	}
	return r.orRefuse(client)
}

func settle(client io.ReadWriter) error {
	var count [1]byte
	if _, err := io.ReadFull(client, count[:]); err != nil {
		return err
	}
	methods := make([]byte, count[0])
	if _, err := io.ReadFull(client, methods); err != nil {
		return err
	}
	if !slices.Contains(methods, noPassword) {
		_, _ = client.Write([]byte{5, noMethod})
		return fmt.Errorf("%w: a password is insisted on, and there is none", ErrProtocol)
	}
	_, err := client.Write([]byte{5, noPassword})
	return err
}

// readAddress reads a host and a port. known is false for a type of addresses
// that there is not.
func (r *Request) readAddress(client io.Reader, kind byte) (known bool, err error) {
	length := 0
	switch kind {
	case typeIPv4:
		length = 4
	case typeIPv6:
		length = 16
	case typeName:
		var n [1]byte
		if _, err := io.ReadFull(client, n[:]); err != nil {
			return true, err
		}
		length = int(n[0])
	default:
		return false, fmt.Errorf("%w: addresses of type %d", ErrProtocol, kind)
	}
	host := make([]byte, length+2)
	if _, err := io.ReadFull(client, host); err != nil {
		return true, err
	}
	r.Port = int(binary.BigEndian.Uint16(host[length:]))
	host = host[:length]
	r.Host = string(host)
	if kind != typeName {
		address, _ := netip.AddrFromSlice(host)
		r.Host = address.String()
	}
	return true, nil
}

// reply5 answers with an address of zeros: the one that the other end has is
// nobody's business here.
func reply5(client io.Writer, what int) error {
	code := byte(0)
	if what != granted {
		code = replies[Cause(what)]
	}
	_, err := client.Write([]byte{5, code, 0, typeIPv4, 0, 0, 0, 0, 0, 0})
	return err
}
