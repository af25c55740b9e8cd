package shellhttp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

// callerFunc is a broker.
type callerFunc func(context.Context, *shell.Call) (*shell.Reply, error)

func (f callerFunc) Call(ctx context.Context, c *shell.Call) (*shell.Reply, error) { return f(ctx, c) }

// told answers with what it was asked: target, token, length of the body, client.
func told(_ context.Context, c *shell.Call) (*shell.Reply, error) {
	body, err := io.ReadAll(c.Body)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%s %s %s %d %s %t", c.Method, c.Target, c.Token, len(body), bytes.TrimLeft(body, "x"), c.Remote.IsValid())
	return &shell.Reply{Status: 200, Body: []byte(text)}, nil
}

// openServer serves without TLS, so that tests see each byte. change is called before.
func openServer(t testing.TB, cfg HandlerConfig, change ...func(*Handler)) (*Server, func() net.Conn) {
	t.Helper()
	h := NewHandler(cfg)
	for _, f := range change {
		f(h)
	}
	server := NewServer(h, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done })
	return server, func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// promptRequest is a request as our client writes it.
func promptRequest(token, body string) string {
	x := exchange{method: "POST", body: []byte(body), mediaType: typeStdin}
	return string(appendPostHead(nil, "agent.example:4000", "/v1/sessions/abc/stdin", token, x)) + body
}

// answerOf reads one answer.
func answerOf(t testing.TB, in *bufio.Reader) (*http.Response, string) {
	t.Helper()
	r, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(text)
}

var anyDate = regexp.MustCompile(`\r\nDate: [^\r]*GMT\r\n`)

// Whoever answers, the bytes are the same: what an observer counts tells nothing.
func TestPromptAnswersAreThoseOfNetHTTP(t *testing.T) {
	_, dial := openServer(t, HandlerConfig{Caller: callerFunc(told)})
	raw := func(request string, times int) (answers []string) {
		c := dial()
		for range times {
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 4<<10)
			n, err := c.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, string(b[:n]))
		}
		return answers
	}
	plain := promptRequest("tok", "key")
	want := raw(strings.Replace(plain, "\r\nUser-Agent", "\r\nX-Other: 1\r\nUser-Agent", 1), 1)[0]
	for i, got := range raw(plain, 3) {
		if anyDate.FindString(got) == "" || anyDate.ReplaceAllString(got, "") != anyDate.ReplaceAllString(want, "") || len(got) != len(want) {
			t.Errorf("answer %d is %q, net/http's is %q", i, got, want)
		}
	}
}

func TestConnectionsGoBackToNetHTTPAndReturn(t *testing.T) {
	_, dial := openServer(t, HandlerConfig{Caller: callerFunc(told)})
	const health = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
	key := promptRequest("tok", "key")
	other := strings.Replace(key, "User-Agent: shellagent", "user-agent: else", 1)
	const keyAnswer = "POST /v1/sessions/abc/stdin tok 3 key true"
	for name, requests := range map[string][]string{
		"one after the other": {key, key, health, key, other, health, health, key, key},
		"there and back":      {key, health, key, health, key, health, key, health, key, health},
		"never ours":          {other, health, other},
	} {
		c := dial()
		in := bufio.NewReader(c)
		for i, request := range requests {
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
			want := keyAnswer
			if request == health {
				want = "ok\n"
			}
			if r, text := answerOf(t, in); r.StatusCode != 200 || text != want {
				t.Fatalf("%s, request %d: %d %q", name, i, r.StatusCode, text)
			}
		}
		// And all at once, which no client of ours does.
		if _, err := io.WriteString(c, strings.Join(requests, "")); err != nil {
			t.Fatal(err)
		}
		for i := range requests {
			if r, _ := answerOf(t, in); r.StatusCode != 200 {
				t.Fatalf("%s, request %d of many: %d", name, i, r.StatusCode)
			}
		}
	}
}

func TestPromptRequestsInPieces(t *testing.T) {
	_, dial := openServer(t, HandlerConfig{Caller: callerFunc(told)})
	c := dial()
	in := bufio.NewReader(c)
	for _, size := range []int{0, 1, promptBuffer - 200, promptBuffer, 40 << 10, shell.MaxCallBody} {
		request := promptRequest("tok", strings.Repeat("x", size)+"end"[:min(3, shell.MaxCallBody-size)])
		step := max(1, len(request)/50)
		for rest := request; rest != ""; {
			n := min(step, len(rest))
			if _, err := io.WriteString(c, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if _, text := answerOf(t, in); !strings.HasPrefix(text, "POST /v1/sessions/abc/stdin tok ") {
			t.Fatalf("%d bytes: %q", size, text)
		}
	}
}

func TestPromptRefusalsCloseTheConnection(t *testing.T) {
	refusing := func(_ context.Context, c *shell.Call) (*shell.Reply, error) {
		switch c.Token {
		case "good":
			if _, err := io.Copy(io.Discard, c.Body); err != nil {
				return nil, err
			}
			return &shell.Reply{Status: 200, Body: []byte("{}")}, nil
		case "stream":
			return &shell.Reply{Status: 200, Stream: io.NopCloser(strings.NewReader("frames"))}, nil
		case "panic":
			panic("a fault")
		case "gone":
			return nil, shell.Deny(shell.ReasonUnavailable, nil)
		}
		return problemOf(shell.Deny(shell.ReasonUnknownKey, nil)), nil
	}
	s := &testServer{}
	_, dial := openServer(t, HandlerConfig{Caller: callerFunc(refusing), Refused: s.count, Log: slog.New(slog.DiscardHandler)})
	for token, want := range map[string]string{"bad": "unauthorized", "stream": "internal", "gone": "unavailable", "panic": ""} {
		for _, size := range []int{1, 200 << 10} {
			c := dial()
			in := bufio.NewReader(c)
			io.WriteString(c, promptRequest("good", "a"))
			answerOf(t, in)
			go io.WriteString(c, promptRequest(token, strings.Repeat("x", size)))
			if want != "" {
				r, text := answerOf(t, in)
				if !strings.Contains(text, `"code":"`+want+`"`) || !r.Close || r.Header.Get("Content-Type") != typeProblem {
					t.Errorf("%s with %d bytes: %d %q", token, size, r.StatusCode, text)
				}
			}
			if n, err := in.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s with %d bytes: %d more, and the connection is open", token, size, n)
			}
		}
	}
	// Cut short and too slow.
	c := dial()
	in := bufio.NewReader(c)
	io.WriteString(c, promptRequest("good", "a"))
	answerOf(t, in)
	half := promptRequest("good", "whole")
	io.WriteString(c, half[:40])
	c.(*net.TCPConn).CloseWrite()
	if _, err := in.Peek(1); err == nil {
		t.Error("half a head was answered")
	}
	eventually(t, "half a head is counted", func() bool { return s.counted(shell.ReasonMalformed) == 1 })
}

func TestSlowPromptBodies(t *testing.T) {
	s := &testServer{}
	_, dial := openServer(t, HandlerConfig{Caller: callerFunc(told), Refused: s.count}, func(h *Handler) {
		h.bodyTime, h.bodyProgress = 100*time.Millisecond, 50*time.Millisecond
	})
	c := dial()
	in := bufio.NewReader(c)
	io.WriteString(c, promptRequest("tok", "a"))
	answerOf(t, in)
	whole := promptRequest("tok", "all of it")
	io.WriteString(c, whole[:len(whole)-1])
	if r, text := answerOf(t, in); r.StatusCode != 408 || !r.Close || s.counted(shell.ReasonBodyTimeout) != 1 {
		t.Errorf("%d %q", r.StatusCode, text)
	}
}

func TestShutdownLetsPromptRequestsEnd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	server, dial := openServer(t, HandlerConfig{Caller: callerFunc(func(ctx context.Context, c *shell.Call) (*shell.Reply, error) {
		if c.Token == "slow" {
			close(entered)
			<-leave
		}
		return told(ctx, c)
	})})
	idle, busy := dial(), dial()
	for _, c := range []net.Conn{idle, busy} {
		io.WriteString(c, promptRequest("tok", "a"))
		answerOf(t, bufio.NewReader(c))
	}
	io.WriteString(busy, promptRequest("slow", "b"))
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(t.Context()) }()
	if n, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle connection: %d, %v", n, err)
	}
	select {
	case err := <-ended:
		t.Errorf("it is shut down while a request runs: %v", err)
	default:
	}
	close(leave)
	if r, _ := answerOf(t, bufio.NewReader(busy)); r.StatusCode != 200 {
		t.Errorf("the request ended with %d", r.StatusCode)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzPromptHead holds what is read by hand against what net/http reads.
func FuzzPromptHead(f *testing.F) {
	f.Add([]byte(promptRequest("tok", "")), "")
	f.Add([]byte(strings.Replace(promptRequest("tok", ""), "/v1/", "/ops/v1/", 1)), "/ops")
	for _, change := range [][2]string{
		{"\r\nUser", "\r\nTransfer-Encoding: chunked\r\nUser"}, {"Length: 0", "Length: +0"}, {"Length: 0", "Length: 00"},
		{"abc/stdin", "abc/../stdin"}, {"abc", "a%62c"}, {"abc/stdin", "abc/stdin?from=1"}, {"tok", "tok\r\nX: y"}, {"tok", "a b"},
		{"agent.example", "a@b"}, {": shellagent", ":\tshellagent"}, {"stdin ", "stdin  "}, {"\r\n\r\n", "\n\n"}, {"POST", "post"},
	} {
		f.Add([]byte(strings.Replace(promptRequest("tok", ""), change[0], change[1], 1)), "")
	}
	f.Fuzz(func(t *testing.T, head []byte, base string) {
		if base != "" && !plainPath(base) {
			return
		}
		i := bytes.Index(head, headEnd)
		if i < 0 || i+len(headEnd) != len(head) {
			return
		}
		h, ok := parsePromptHead(head, base)
		if !ok {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", head, err)
		}
		if denied := checkForm(r); denied != nil {
			t.Fatalf("%q is refused: %v", head, denied)
		}
		target, ok := strings.CutPrefix(r.RequestURI, base)
		call, denied := newCall(r, target, netip.AddrPort{})
		if denied != nil || !ok || !isPrompt(r, target) {
			t.Fatalf("%q is refused: %v", head, denied)
		}
		if call.Target != h.target || call.Token != h.token || call.Size != h.size || r.Close {
			t.Fatalf("%q is %+v, not %+v", head, call, h)
		}
	})
}
