package shellhttp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// FuzzPlainHead holds what is read as a plain answer against what net/http
// reads: the two never differ.
func FuzzPlainHead(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"next\":166}",
		"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\nDate: Sun, 22 Nov 2026 19:00:00 GMT\r\n\r\n{}{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n folded\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
		"HTTP/1.1 204 No Content\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(text), postBuffer)
		head, err := peekHead(in)
		if err != nil {
			return
		}
		h, ok := parsePlainHead(head)
		if !ok {
			return
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), &http.Request{Method: http.MethodPost})
		if err != nil {
			t.Fatalf("plain, but net/http refuses it: %v\n%q", err, text)
		}
		if r.StatusCode != h.status || r.ContentLength != int64(h.length) || r.Close || len(r.TransferEncoding) > 0 || r.Uncompressed {
			t.Fatalf("read as %+v, by net/http as %d, %d bytes, close %v\n%q", h, r.StatusCode, r.ContentLength, r.Close, text)
		}
		in.Discard(len(head))
		ours, oursErr := io.ReadAll(io.LimitReader(in, int64(h.length)))
		theirs, theirsErr := io.ReadAll(r.Body)
		if !bytes.Equal(ours, theirs) || oursErr == nil && len(ours) == h.length && theirsErr != nil {
			t.Fatalf("body %q, by net/http %q %v", ours, theirs, theirsErr)
		}
	})
}

// answering is a server that answers each connection's requests with texts, one
// after the other, and hangs up when there is none left.
func answering(t *testing.T, conns ...[]string) (*postPool, *atomic.Int32) {
	t.Helper()
	var made atomic.Int32
	pool := &postPool{addr: "test", host: "test", dial: func(context.Context, string, string) (net.Conn, error) {
		nth := int(made.Add(1)) - 1
		if nth >= len(conns) {
			return nil, errors.New("no more connections")
		}
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			in := bufio.NewReader(far)
			for _, text := range conns[nth] {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
				if text == silent {
					in.ReadByte()
					return
				}
				if _, err := io.WriteString(far, text); err != nil {
					return
				}
			}
		}()
		return near, nil
	}}
	t.Cleanup(pool.closeIdle)
	return pool, &made
}

// silent is no answer, over a connection that stays.
const silent = "silent"

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

func TestPostAnswers(t *testing.T) {
	large := strings.Repeat("x", maxAnswer)
	for _, c := range []struct {
		name, answer, body string
		status             int
		kept               bool
	}{
		{"plain", plainAnswer, "{}", 200, true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}", 200, false},
		{"interim", "HTTP/1.1 103 Early Hints\r\n\r\n" + plainAnswer, "{}", 200, true},
		{"refusal", "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}", "{}", 409, true},
		{"last", "HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", "{}", 409, false},
		{"largest", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(large), large), large, 200, true},
		{"too large", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", 2*len(large), large, large), "", 0, false},
		{"endless head", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1<<20), "", 0, false},
		{"only interim", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000), "", 0, false},
		{"not HTTP", "SSH-2.0-OpenSSH_10.0\r\n\r\n", "", 0, false},
		{"cut", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := []string{c.answer, plainAnswer}
			if c.status == 0 {
				script = script[:1]
			}
			pool, made := answering(t, script, []string{plainAnswer})
			x := exchange{method: "POST", target: "/v1/x", body: []byte("hello"), mediaType: typeJSON, timeout: 30 * time.Second}
			a, err := pool.attempt(t.Context(), x, "token")
			if c.status == 0 {
				if err == nil {
					t.Fatalf("taken: %d %.100q", a.StatusCode, a.text)
				}
				return
			}
			if err != nil || a.StatusCode != c.status || string(a.text) != c.body {
				t.Fatalf("%v, %+v", err, a)
			}
			if _, err := pool.attempt(t.Context(), x, "token"); err != nil {
				t.Fatalf("the next: %v", err)
			}
			if kept := made.Load() == 1; kept != c.kept {
				t.Errorf("the connection was kept: %v", kept)
			}
		})
	}
}

// A kept connection that was closed costs nobody anything but another one.
func TestKeptConnectionWasClosed(t *testing.T) {
	pool, made := answering(t, []string{plainAnswer}, []string{plainAnswer})
	x := exchange{method: "POST", target: "/v1/x", body: []byte("hello"), mediaType: typeJSON, timeout: 30 * time.Second}
	c := &Client{}
	for range 2 {
		if _, err := c.ask(t.Context(), pool.attempt, x); err != nil {
			t.Fatal(err)
		}
	}
	if made.Load() != 2 {
		t.Errorf("%d connections", made.Load())
	}
	if _, err := c.ask(t.Context(), pool.attempt, x); err == nil {
		t.Error("answered by nobody")
	}
}

func TestPostEndsWithItsContext(t *testing.T) {
	pool, _ := answering(t, []string{plainAnswer, silent})
	x := exchange{method: "POST", target: "/v1/x", body: []byte("hello"), mediaType: typeJSON, timeout: 30 * time.Second}
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := pool.attempt(ctx, x, "token"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { cancel(errRenewed) })
	if _, err := pool.attempt(ctx, x, "token"); !errors.Is(err, errRenewed) {
		t.Errorf("got %v", err)
	}
}

func TestHostHeader(t *testing.T) {
	for raw, want := range map[string]string{
		"https://host:4000/x":      "host:4000",
		"https://[::1]:4000":       "[::1]:4000",
		"https://[fe80::1%25eth0]": "[fe80::1]",
		"https://bücher.example":   "xn--bcher-kva.example",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostHeader(u); got != want {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

// Whoever gives a request a context of its own ends it once it was answered.
func TestPostOutlivesTheContextOfTheOneBefore(t *testing.T) {
	pool, made := answering(t, []string{plainAnswer, plainAnswer})
	x := exchange{method: "POST", target: "/v1/x", body: []byte("hello"), mediaType: typeJSON, timeout: 30 * time.Second}
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := pool.attempt(ctx, x, "token"); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	if made.Load() != 1 {
		t.Errorf("%d connections", made.Load())
	}
}
