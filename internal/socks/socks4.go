package socks

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
)

// Bytes of SOCKS 4, https://www.openssh.com/txt/socks4.protocol, and of 4A,
// https://www.openssh.com/txt/socks4a.protocol.
const (
	connect  = 1 // as in SOCKS 5
	granted4 = 90
	refused4 = 91
)

// accept4 reads a request of SOCKS 4 or 4A behind its version.
func accept4(client io.ReadWriter) (Request, error) {
	r := Request{version: 4}
	err := r.read4(client)
	if err == nil {
		return r.orRefuse(client)
	}
	return r, err
}

func (r *Request) read4(client io.ReadWriter) error {
	var head [7]byte // command, port, address
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return err
	}
	if _, err := untilZero(client, "user"); err != nil {
		return err
	}
	if head[0] != connect {
		_ = reply4(client, false)
		return fmt.Errorf("%w: command %d", ErrProtocol, head[0])
	}
	r.Port = int(binary.BigEndian.Uint16(head[1:]))
	address := netip.AddrFrom4([4]byte(head[3:]))
	r.Host = address.String()
	// 4A has a name behind the user's where the address is 0.0.0.x.
	if head[3] == 0 && head[4] == 0 && head[5] == 0 && head[6] != 0 {
		var err error
		if r.Host, err = untilZero(client, "host"); err != nil {
			return err
		}
	}
	return nil
}

// untilZero reads a string that a zero byte ends, byte by byte: what is behind it
// is not the handshake's.
func untilZero(client io.Reader, what string) (string, error) {
	var text []byte
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(client, one); err != nil {
			return "", err
		}
		if one[0] == 0 {
			return string(text), nil
		}
		if text = append(text, one[0]); len(text) > maxName {
			return "", fmt.Errorf("%w: the %s is longer than %d bytes", ErrProtocol, what, maxName)
		}
	}
}

// orRefuse checks a request that was read to its end.
func (r Request) orRefuse(client io.Writer) (Request, error) {
	r, err := r.checked()
	if err != nil {
		_ = r.Refuse(client, Failed)
	}
	return r, err
}

func reply4(client io.Writer, yes bool) error {
	code := byte(refused4)
	if yes {
		code = granted4
	}
	_, err := client.Write([]byte{0, code, 0, 0, 0, 0, 0, 0})
	return err
}
