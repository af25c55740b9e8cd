package sftpd

import "encoding/binary"

// fields reads a packet's numbers and texts. short says that it ended too early;
// everything is zero from there on.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.rest) {
		f.short, f.rest = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) number() uint32 { return binary.BigEndian.Uint32(f.take(4)) }
func (f *fields) long() uint64   { return binary.BigEndian.Uint64(f.take(8)) }

func (f *fields) text() string {
	n := f.number()
	if f.short || n > maxPacket {
		f.short = true
		return ""
	}
	text := f.take(int(n))
	if f.short {
		return ""
	}
	return string(text)
}

// packet is one in the making.
type packet []byte

// newPacket begins one of a kind, which answers a request.
func newPacket(kind byte, id uint32) packet {
	return packet{0, 0, 0, 0, kind}.number(id)
}

func (p packet) number(n uint32) packet { return binary.BigEndian.AppendUint32(p, n) }
func (p packet) long(n uint64) packet   { return binary.BigEndian.AppendUint64(p, n) }
func (p packet) text(s string) packet   { return append(p.number(uint32(len(s))), s...) }

// done returns the packet with its length.
func (p packet) done() []byte {
	binary.BigEndian.PutUint32(p, uint32(len(p)-4))
	return p
}
