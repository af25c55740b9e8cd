package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// attacker is a client without manners: it writes requests byte by byte and
// signs what it likes. It comes from an address of its own, so that what others
// did before does not count against it.
type attacker struct {
	t    *testing.T
	h    *host
	from string
	// aud is the host key's thumbprint.
	aud string
}

func newAttacker(t *testing.T, h *host, from string) *attacker {
	t.Helper()
	line := h.publicKey(filepath.Join(h.dir, "state", "host_key"))
	key, _, err := jwtauth.ParsePublicKey(line)
	if err != nil {
		t.Fatal(err)
	}
	return &attacker{t: t, h: h, from: from, aud: key.Thumbprint()}
}

// at is the same attacker somewhere else.
func (a *attacker) at(from string) *attacker {
	b := *a
	b.from = from
	return &b
}

func (a *attacker) dialTCP() (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a.from)}, Timeout: 10 * time.Second}
	return d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.h.port))
}

func (a *attacker) dial() (*tls.Conn, error) {
	c, err := a.dialTCP()
	if err != nil {
		return nil, err
	}
	conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if err := conn.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	return conn, nil
}

// answer is what came back.
type answer struct {
	err    error
	status int
	code   string
	detail string
	next   uint64
	nonce  string
	retry  string
	body   []byte
	closed bool // the agent closed the connection after it
}

// raw sends a request on a connection of its own.
func (a *attacker) raw(request string) answer { return a.rawUntil(context.Background(), request) }

// rawUntil hangs up when ctx ends.
func (a *attacker) rawUntil(ctx context.Context, request string) answer {
	c, err := a.dial()
	if err != nil {
		return answer{err: err}
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.NetConn().Close() })()
	return exchange(c, bufio.NewReader(c), request)
}

func exchange(c net.Conn, in *bufio.Reader, request string) answer {
	if _, err := io.WriteString(c, request); err != nil {
		return answer{err: err}
	}
	got := readAnswer(in)
	if got.err == nil {
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := in.Peek(1)
		got.closed = err != nil && !isTimeout(err)
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
	}
	return got
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

func readAnswer(in *bufio.Reader) answer {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return answer{err: err}
	}
	body, err := io.ReadAll(resp.Body)
	got := answer{
		err: err, status: resp.StatusCode, body: body,
		nonce: resp.Header.Get("Shellagent-Nonce"), retry: resp.Header.Get("Retry-After"),
	}
	var problem struct {
		Code, Detail string
		Next         uint64
	}
	if json.Unmarshal(body, &problem) == nil {
		got.code, got.detail, got.next = problem.Code, problem.Detail, problem.Next
	}
	return got
}

func (g answer) String() string {
	if g.err != nil {
		return g.err.Error()
	}
	return fmt.Sprintf("%d %s %q", g.status, g.code, g.detail)
}
