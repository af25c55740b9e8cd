package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"shellagent/shell"
)

// The codec between the two processes. A connection is one Unix stream socket
// with one call at a time:
//
//	front → broker   length uint32, header (fields of [shell.Call] without the body)
//	front → broker   the body, at once, when it has at most maxInline bytes
//	broker → front   answerGoOn, then the body follows; only for a larger body
//	                 or answerPlace, then the body goes to the connection's [shm.Place],
//	                 whose file the first one brings (SCM_RIGHTS)
//	front → broker   a byte when it is there
//	broker → front   answerReply, length uint32, reply
//	broker → front   with flagStream: the session's frames, until either side closes
//	broker → front   in a stream that has brought much: a byte with the file of a
//	                 [shm.Ring] (SCM_RIGHTS), in which the rest of the frames comes
//	both, after it   any byte: look at the ring again
//
// Integers are big-endian. A string or byte field is its length (one byte, two
// for the long ones, four for a reply's body) and its bytes. There is exactly
// one encoding of a value, so decode and encode are each other's inverse.
const (
	maxHeader    = 16 << 10 // bytes of an encoded call without its body
	maxInline    = 16 << 10 // bytes of a body that is sent with its header
	maxCode      = 64
	maxDetail    = 1 << 10
	maxNonce     = 255
	maxReplyBody = 1 << 20
	maxReply     = 2 + 1 + 1 + maxCode + 2 + maxDetail + 1 + maxNonce + 2 + 4 + maxReplyBody

	lengthSize = 4
)

// The first byte of everything the broker sends.
const (
	answerGoOn  byte = 1
	answerReply byte = 2
	answerPlace byte = 3
)

// flagStream says that frames follow the reply.
const flagStream byte = 1

// errCodec says that bytes are not what the other side of the socket may send.
var errCodec = errors.New("not a message of this agent's codec")

// appendCall appends the header of c: everything but the body.
func appendCall(dst []byte, c *shell.Call) ([]byte, error) {
	if len(c.Method) > shell.MaxMethod || len(c.Target) > shell.MaxTarget ||
		len(c.Token) > shell.MaxToken || c.Size < 0 || c.Size > shell.MaxCallBody {
		return dst, fmt.Errorf("call is over a bound: method %d, target %d, token %d, body %d bytes: %w",
			len(c.Method), len(c.Target), len(c.Token), c.Size, errCodec)
	}
	dst = append(dst, byte(len(c.Method)))
	dst = append(dst, c.Method...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Target)))
	dst = append(dst, c.Target...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Token)))
	dst = append(dst, c.Token...)
	dst = appendAddr(dst, c.Remote.Addr())
	dst = binary.BigEndian.AppendUint16(dst, c.Remote.Port())
	return binary.BigEndian.AppendUint32(dst, uint32(c.Size)), nil
}

// decodeCall is the inverse of appendCall. The strings are copies of b's bytes.
func decodeCall(b []byte, c *shell.Call) error {
	f := fields{rest: b}
	method := f.bytes(f.uint8(), shell.MaxMethod)
	target := f.bytes(f.uint16(), shell.MaxTarget)
	token := f.bytes(f.uint16(), shell.MaxToken)
	addr := f.addr()
	port := f.uint16()
	size := f.uint32()
	if !f.done() || size > shell.MaxCallBody {
		return fmt.Errorf("call: %w", errCodec)
	}
	*c = shell.Call{
		Method: methodName(method), Target: string(target), Token: string(token),
		Remote: netip.AddrPortFrom(addr, uint16(port)), Size: int(size),
	}
	return nil
}

// methodName returns the string of b without an allocation for the usual ones.
func methodName(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "DELETE":
		return "DELETE"
	default:
		return string(b)
	}
}

// appendReply appends r without its stream.
func appendReply(dst []byte, r *shell.Reply) ([]byte, error) {
	if r.Status < 0 || r.Status > 999 || len(r.Code) > maxCode || len(r.Detail) > maxDetail ||
		len(r.Nonce) > maxNonce || len(r.Body) > maxReplyBody || r.Wait < 0 || r.Wait > shell.MaxWait {
		return dst, fmt.Errorf("reply is over a bound: status %d, code %d, detail %d, nonce %d, wait %v, body %d bytes: %w",
			r.Status, len(r.Code), len(r.Detail), len(r.Nonce), r.Wait, len(r.Body), errCodec)
	}
	var flags byte
	if r.Stream != nil {
		flags = flagStream
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(r.Status))
	dst = append(dst, flags, byte(len(r.Code)))
	dst = append(dst, r.Code...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Detail)))
	dst = append(dst, r.Detail...)
	dst = append(dst, byte(len(r.Nonce)))
	dst = append(dst, r.Nonce...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(r.Wait/time.Millisecond))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Body)))
	return append(dst, r.Body...), nil
}

// decodeReply is the inverse of appendReply. Body aliases b; stream says
// whether frames follow.
func decodeReply(b []byte) (r *shell.Reply, stream bool, err error) {
	f := fields{rest: b}
	status := f.uint16()
	flags := byte(f.uint8())
	code := f.bytes(f.uint8(), maxCode)
	detail := f.bytes(f.uint16(), maxDetail)
	nonce := f.bytes(f.uint8(), maxNonce)
	wait := time.Duration(f.uint16()) * time.Millisecond
	body := f.bytes(f.uint32(), maxReplyBody)
	if !f.done() || status > 999 || flags > flagStream || wait > shell.MaxWait {
		return nil, false, fmt.Errorf("reply: %w", errCodec)
	}
	r = &shell.Reply{Status: int(status), Code: string(code), Detail: string(detail), Nonce: string(nonce), Wait: wait}
	if len(body) > 0 {
		r.Body = body
	}
	return r, flags == flagStream, nil
}

// appendAddr appends the length of an address (0, 4 or 16) and its bytes. A
// zone is left out: it means nothing outside this host.
func appendAddr(dst []byte, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return append(dst, 0)
	case a.Is4():
		b := a.As4()
		return append(append(dst, 4), b[:]...)
	default:
		b := a.As16()
		return append(append(dst, 16), b[:]...)
	}
}

// fields takes the fields of a message off its front. After the first one that
// is not there everything is zero and done is false.
type fields struct {
	rest []byte
	bad  bool
}

// take returns the next n bytes.
func (f *fields) take(n int) []byte {
	if f.bad || n > len(f.rest) {
		f.bad = true
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) uint8() uint32 {
	if b := f.take(1); b != nil {
		return uint32(b[0])
	}
	return 0
}

func (f *fields) uint16() uint32 {
	if b := f.take(2); b != nil {
		return uint32(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// bytes takes n bytes, of which there may be at most limit.
func (f *fields) bytes(n, limit uint32) []byte {
	if n > limit {
		f.bad = true
		return nil
	}
	return f.take(int(n))
}

func (f *fields) addr() netip.Addr {
	switch f.uint8() {
	case 0:
		return netip.Addr{}
	case 4:
		if b := f.take(4); b != nil {
			return netip.AddrFrom4([4]byte(b))
		}
	case 16:
		if b := f.take(16); b != nil {
			return netip.AddrFrom16([16]byte(b))
		}
	}
	f.bad = true
	return netip.Addr{}
}

// done says that every field was there and nothing is left over.
func (f *fields) done() bool { return !f.bad && len(f.rest) == 0 }
