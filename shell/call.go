package shell

import (
	"io"
	"net/netip"
	"time"
)

// Call is one request as the front hands it to the broker: nothing in it is
// trusted, and only Token says who asks.
type Call struct {
	// Method and Target are the request line's, byte for byte; Target is what
	// follows the configured base path.
	Method string
	Target string
	// Token is the credentials of "Authorization: Bearer", undecoded.
	Token string
	// Remote is the client as the front saw it. It limits and labels; it
	// never identifies.
	Remote netip.AddrPort
	// Size is the exact length of the body, in bytes.
	Size int
	// Body yields Size bytes. It is read only after the token's signature held.
	Body io.Reader
}

// Reply answers a [Call].
type Reply struct {
	// Status is the HTTP status.
	Status int
	// Code is the refusal's stable code, "" for success.
	Code string
	// Detail is a sentence for the person, free of control characters.
	Detail string
	// Nonce, when not empty, lets a token with a wrong clock be made again
	// (RFC 9449 §8).
	Nonce string
	// Wait is how long a refusal is held back before it is sent, at most
	// [MaxWait]: its address has sent many that proved nothing.
	Wait time.Duration
	// Body is JSON, or empty.
	Body []byte
	// Stream, when not nil, yields the session's frames in the binary encoding
	// until the session ends or the reader closes it.
	Stream io.ReadCloser
}

// Bounds of a call, checked on both sides of the socket.
const (
	MaxMethod = 16
	MaxTarget = 2048
	MaxToken  = 8192
	// MaxWait is the longest that a refusal is held back.
	MaxWait = 5 * time.Second
	// MaxCallBody is the largest body of any call: a full stdin request.
	MaxCallBody = StdinHeaderSize + MaxStdinData
)
