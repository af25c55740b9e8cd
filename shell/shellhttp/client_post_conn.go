package shellhttp

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// postBuffer holds an answer's head, and a request's with a keystroke.
const postBuffer = 4 << 10

// errKept says that a kept connection turned out to be dead before anything of
// an answer came: the request is sent again on a new one, which is safe.
var errKept = errors.New("the connection was closed meanwhile")

// postConn is a connection for input and control requests, one at a time. It is
// written and read by whoever asks: net/http's client hands each request to two
// goroutines and writes its body apart from its head, which a keystroke would
// wait for.
type postConn struct {
	conn net.Conn
	in   *bufio.Reader
	left int64 // bytes that the current answer may still have, its head included

	out   []byte
	until time.Time // the connection's deadline
	kept  bool      // it has answered before
	since time.Time // when it last did
}

func newPostConn(conn net.Conn) *postConn {
	c := &postConn{conn: conn}
	c.in = bufio.NewReaderSize((*boundedAnswer)(c), postBuffer)
	return c
}

// boundedAnswer reads a connection within what an answer may have.
type boundedAnswer postConn

func (b *boundedAnswer) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	n, err := b.conn.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func (c *postConn) close() {
	// A TLS connection says good-bye first, for which a dead one has no time.
	if t, ok := c.conn.(*tls.Conn); ok {
		t.NetConn().SetDeadline(time.Now().Add(time.Second))
	}
	c.conn.Close()
}

// roundTrip sends a request and reads its answer whole. keep says whether the
// connection is good for another.
func (c *postConn) roundTrip(host, path, token string, x exchange) (a *answered, keep bool, err error) {
	c.begin(x.timeout)
	return c.conclude(c.send(host, path, token, x))
}

// begin gives the next request its time.
func (c *postConn) begin(timeout time.Duration) {
	// Moving a deadline costs more than it is worth for each key.
	if now := time.Now(); c.until.Sub(now) < timeout*4/5 || c.until.Sub(now) > timeout {
		c.until = now.Add(timeout)
		c.conn.SetDeadline(c.until)
	}
	c.left = maxAnswer + maxAnswerHead
}

// conclude reads the answer to a request that was written, or not wholly.
func (c *postConn) conclude(written error) (a *answered, keep bool, err error) {
	// Who refuses a request may not read it to its end, and has answered.
	a, keep, err = c.receive()
	if err == nil {
		return a, keep && written == nil, nil
	}
	if written != nil {
		err = written
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errNoAnswer
	case c.kept && c.left == maxAnswer+maxAnswerHead:
		err = errKept
	}
	return nil, false, err
}

// send writes a request.
func (c *postConn) send(host, path, token string, x exchange) error {
	if h := holderOf(c.conn); h != nil && len(x.body) > maxRecord {
		h.Hold()
		return errors.Join(c.write(host, path, token, x), h.Release())
	}
	return c.write(host, path, token, x)
}

// write writes a request, its head and as much of its body as fits in one record.
func (c *postConn) write(host, path, token string, x exchange) error {
	out := appendPostHead(c.out[:0], host, path, token, x)
	first := min(len(x.body), max(0, maxRecord-len(out)))
	out = append(out, x.body[:first]...)
	if c.out = out; cap(out) > postBuffer && len(out) <= postBuffer {
		c.out = nil // it was for a large one
	}
	if _, err := c.conn.Write(out); err != nil || first == len(x.body) {
		return err
	}
	_, err := c.conn.Write(x.body[first:])
	return err
}

// appendPostHead appends a request up to its body.
func appendPostHead(out []byte, host, path, token string, x exchange) []byte {
	out = append(out, x.method...)
	out = append(out, ' ')
	out = append(out, path...)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, host...)
	out = append(out, "\r\nUser-Agent: shellagent\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(x.body)), 10)
	out = append(out, "\r\nAuthorization: Bearer "...)
	out = append(out, token...)
	out = append(out, "\r\nContent-Type: "...)
	out = append(out, x.mediaType...)
	return append(out, "\r\n\r\n"...)
}

// maxRecord is what TLS takes at once (RFC 8446 §5.1).
const maxRecord = 16 << 10

// receive reads an answer. What is not of the plainest form is left to net/http.
func (c *postConn) receive() (a *answered, keep bool, err error) {
	head, err := peekHead(c.in)
	if err != nil {
		return nil, false, err
	}
	if h, ok := parsePlainHead(head); ok {
		c.in.Discard(len(head))
		a = &answered{Response: &http.Response{StatusCode: h.status}, text: make([]byte, h.length)}
		_, err = io.ReadFull(c.in, a.text)
		return a, true, err
	}
	return c.receiveAny()
}

// maxInterim bounds the answers of status 1xx before the one that counts.
const maxInterim = 4

func (c *postConn) receiveAny() (a *answered, keep bool, err error) {
	for range maxInterim {
		r, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodPost})
		if err != nil {
			return nil, false, err
		}
		if r.StatusCode/100 == 1 {
			continue
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		return &answered{Response: r, text: text}, !r.Close && r.ContentLength >= 0, err
	}
	return nil, false, errors.New("the agent's answer does not come to its point")
}
