package shellhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

func TestHealthAndAgent(t *testing.T) {
	b := newTestBroker(t, nil)
	var down error
	var text []byte
	s := serve(t, b, func(cfg *HandlerConfig, _ *Handler) {
		cfg.Ready = func(context.Context) error { return down }
		cfg.Agent = func() []byte { return text }
	})
	get := func(method, path string) (int, string) {
		resp, body, _ := raw(t, s, method+" "+path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		return resp.StatusCode, string(body)
	}
	if code, body := get("GET", "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, _ := get("GET", "/v1/agent"); code != 503 {
		t.Errorf("agent before it is known: %d", code)
	}
	text = []byte(`{"version":1}`)
	if code, body := get("GET", "/v1/agent"); code != 200 || body != string(text) {
		t.Errorf("%d %q", code, body)
	}
	if code, _ := get("POST", "/healthz"); code != 401 {
		t.Errorf("POST of healthz: %d", code)
	}
	down = errors.New("gone")
	if code, _ := get("GET", "/healthz"); code != 503 {
		t.Errorf("without a broker: %d", code)
	}
	if b.seen("") != 0 {
		t.Error("the broker was asked by somebody unknown")
	}
}

func TestBrokerThatCannotBeAsked(t *testing.T) {
	b := newTestBroker(t, nil)
	b.before = func(*shell.Call) (*shell.Reply, error) { return nil, errors.New("no socket") }
	s := serve(t, b)
	resp, text, closed := raw(t, s, "GET /v1/sessions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\n\r\n")
	if resp.StatusCode != 503 || !strings.Contains(string(text), `"unavailable"`) || strings.Contains(string(text), "socket") || !closed {
		t.Errorf("%d %s, closed %v", resp.StatusCode, text, closed)
	}
	if s.counted(shell.ReasonUnavailable) != 1 {
		t.Error("not counted")
	}
}

func TestCallsCarryWhatTheClientSent(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t, nil)
	var got shell.Call
	var body []byte
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		var err error
		got = *call
		body, err = io.ReadAll(call.Body)
		return &shell.Reply{Status: 200, Body: []byte("{}")}, err
	}
	s := serve(t, b, func(cfg *HandlerConfig, _ *Handler) {
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	resp, _, closed := raw(t, s, "POST /v1/sessions/x/control HTTP/1.1\r\nHost: h\r\nauthorization: bearer a.b-c_d\r\n"+
		"X-Forwarded-For: 203.0.113.1, 198.51.100.7\r\nContent-Length: 5\r\n\r\nhello")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != typeJSON || closed {
		t.Errorf("%d %v, closed %v", resp.StatusCode, resp.Header, closed)
	}
	if got.Method != "POST" || got.Target != "/v1/sessions/x/control" || got.Token != "a.b-c_d" || got.Size != 5 ||
		got.Remote.Addr() != netip.MustParseAddr("198.51.100.7") || string(body) != "hello" {
		t.Errorf("%+v, body %q", got, body)
	}
}

func TestSlowBodies(t *testing.T) {
	for name, send := range map[string]func(io.Writer){
		"nothing comes": func(io.Writer) {},
		"a byte at a time": func(w io.Writer) {
			for range 40 {
				io.WriteString(w, "x")
				<-time.After(20 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestBroker(t, nil)
			var readErr error
			b.before = func(call *shell.Call) (*shell.Reply, error) {
				_, readErr = io.ReadAll(call.Body)
				return nil, readErr
			}
			s := serve(t, b, func(_ *HandlerConfig, h *Handler) {
				if h != nil {
					h.bodyTime, h.bodyProgress = 300*time.Millisecond, 150*time.Millisecond
				}
			})
			conn, err := tls.Dial("tcp", s.addr, s.tls)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "POST /v1/shell/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: 1000\r\n\r\n")
			go send(conn)
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
				t.Errorf("%.80q, %v", answer, err)
			}
			if !errors.Is(readErr, os.ErrDeadlineExceeded) || s.counted(shell.ReasonBodyTimeout) != 1 {
				t.Errorf("the broker saw %v, counted %d", readErr, s.counted(shell.ReasonBodyTimeout))
			}
		})
	}
}

// A deadline of the body must not outlive it: the stream does.
func TestBodyDeadlineDoesNotEndTheStream(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b, func(_ *HandlerConfig, h *Handler) {
		if h != nil {
			h.bodyTime, h.bodyProgress = 200*time.Millisecond, 200*time.Millisecond
		}
	})
	s := open(t, server.client(t), "cat", shell.OpenRequest{Argv: []string{"cat"}})
	ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
	defer cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A large body that nobody asked for is neither read nor waited for.
func TestUnaskedBodyIsNotRead(t *testing.T) {
	b := newTestBroker(t, nil)
	b.before = func(*shell.Call) (*shell.Reply, error) {
		return problemOf(shell.Deny(shell.ReasonSignature, nil)), nil
	}
	s := serve(t, b)
	began := time.Now()
	conn, err := tls.Dial("tcp", s.addr, s.tls)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /v1/sessions/x/stdin HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: 1000000\r\n\r\nxxxx")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
		t.Errorf("%.80q, %v", answer, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the connection was kept for %v", took)
	}
}
