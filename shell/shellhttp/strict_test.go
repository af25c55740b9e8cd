package shellhttp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

const someID = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestCheckTarget(t *testing.T) {
	good := []string{
		"/healthz", "/v1/agent", "/v1/shell/debug", "/ops/v1/shell/a.b_c-d~e", "/v1/sessions/" + someID + "/stdin",
		"/v1/sessions/" + someID + "/watch?from=7",
		"/v1/sessions/" + someID + "/stream?from=0", "/v1/sessions/" + someID + "/stream?from=18446744073709551615",
	}
	bad := []string{
		"", "*", "v1/agent", "https://host/v1/agent", "//v1/agent", "/v1//agent", "/v1/agent/", "/", "/v1/./agent",
		"/v1/../agent", "/..", "/v1/%61gent", "/v1/shell/a%2fb", "/v1/shell/a b", "/v1/shell/a;b", "/v1/shell/a#b",
		"/v1/shell/ä", "/v1/shell/a\x00", "/v1/agent?", "/v1/agent?x=1", "/v1/sessions/x/stream?", "/v1/sessions/x/stream?from=",
		"/v1/sessions/x/stream?from=01", "/v1/sessions/x/stream?from=-1", "/v1/sessions/x/stream?from=1&from=2",
		"/v1/sessions/x/stream?from=1?", "/v1/sessions/x/stream?from=123456789012345678901", "/v1/sessions/x/stdin?from=1", "/v1/sessions/x/watch?from=01",
		"/" + strings.Repeat("a", shell.MaxTarget),
	}
	for _, s := range good {
		if d := checkTarget(s); d != nil {
			t.Errorf("%q: %v", s, d)
		}
	}
	for _, s := range bad {
		if d := checkTarget(s); d == nil || d.Reason != shell.ReasonTargetForm {
			t.Errorf("%q: %v", s, d)
		}
	}
}

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer string
		xff  []string
		want string
	}{
		{"192.0.2.1:5", nil, "192.0.2.1:5"},
		{"192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1:5"},
		{"10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"[::ffff:10.0.0.1]:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"10.0.0.1:5", []string{"203.0.113.9, 198.51.100.1, 10.1.1.1"}, "198.51.100.1:0"},
		{"10.0.0.1:5", []string{"198.51.100.1", "10.1.1.1:99"}, "198.51.100.1:0"},
		{"[fd00::1%eth0]:5", []string{"[2001:db8::1]:7"}, "[2001:db8::1]:7"},
		{"10.0.0.1:5", []string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		{"10.0.0.1:5", []string{"198.51.100.1, unknown"}, "10.0.0.1:5"},
		{"10.0.0.1:5", []string{"198.51.100.1, unknown, 10.2.2.2"}, "10.2.2.2:0"},
		{"10.0.0.1:5", []string{""}, "10.0.0.1:5"},
		{"10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		{"@", []string{"198.51.100.1"}, "invalid AddrPort"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.xff}}
		if got := clientAddr(r, trusted).String(); got != c.want {
			t.Errorf("%s %q: got %s, want %s", c.peer, c.xff, got, c.want)
		}
	}
}

// raw sends bytes over TLS and returns the answer, and whether the connection
// was closed after it.
func raw(t *testing.T, s *testServer, request string) (*http.Response, []byte, bool) {
	t.Helper()
	conn, err := tls.Dial("tcp", s.addr, s.tls)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	_, err = r.ReadByte()
	var timeout net.Error
	return resp, text, !(errors.As(err, &timeout) && timeout.Timeout())
}

func TestAttacksOnTheDoor(t *testing.T) {
	const auth = "Authorization: Bearer abc\r\n"
	post := func(target, headers, body string) string {
		return "POST " + target + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body
	}
	get := func(target, headers string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n"
	}
	for name, c := range map[string]struct {
		request string
		reason  shell.Reason
	}{
		"transfer-encoding":      {post("/v1/shell/a", auth+"Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), shell.ReasonTransferEncoding},
		"te and content-length":  {post("/v1/shell/a", auth+"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), shell.ReasonTransferEncoding},
		"te twice":               {post("/v1/shell/a", auth+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), shell.ReasonMalformed},
		"te unknown":             {post("/v1/shell/a", auth+"Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), shell.ReasonMalformed},
		"two content-lengths":    {post("/v1/shell/a", auth+"Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), shell.ReasonMalformed},
		"no content-length":      {post("/v1/shell/a", auth, ""), shell.ReasonNoLength},
		"two authorizations":     {get("/v1/sessions", auth+auth), shell.ReasonAuthorization},
		"basic":                  {get("/v1/sessions", "Authorization: Basic abc\r\n"), shell.ReasonAuthorization},
		"bearer of two words":    {get("/v1/sessions", "Authorization: Bearer a b\r\n"), shell.ReasonAuthorization},
		"bearer with escapes":    {get("/v1/sessions", "Authorization: Bearer a\x1b[2J\r\n"), shell.ReasonMalformed},
		"bearer not ascii":       {get("/v1/sessions", "Authorization: Bearer \xc3\xa4\r\n"), shell.ReasonAuthorization},
		"no token":               {get("/v1/sessions", ""), shell.ReasonNoToken},
		"token too long":         {get("/v1/sessions", "Authorization: Bearer "+strings.Repeat("a", shell.MaxToken+1)+"\r\n"), shell.ReasonTokenMalformed},
		"origin":                 {get("/v1/agent", "Origin: https://evil.example\r\n"), shell.ReasonOrigin},
		"null origin":            {get("/v1/agent", "Origin: null\r\n"), shell.ReasonOrigin},
		"double slash":           {get("/v1//sessions", auth), shell.ReasonTargetForm},
		"escape":                 {get("/v1/%73essions", auth), shell.ReasonTargetForm},
		"dot segments":           {get("/v1/x/../sessions", auth), shell.ReasonTargetForm},
		"absolute form":          {get("https://h/v1/sessions", auth), shell.ReasonTargetForm},
		"connect":                {"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", shell.ReasonTargetForm},
		"options asterisk":       {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", shell.ReasonTargetForm},
		"query":                  {get("/v1/sessions?x=1", auth), shell.ReasonTargetForm},
		"get with a body":        {get("/v1/sessions", auth+"Content-Length: 1\r\n") + "x", shell.ReasonMalformed},
		"delete with a body":     {"DELETE /v1/sessions/" + someID + " HTTP/1.1\r\nHost: h\r\n" + auth + "Content-Length: 1\r\n\r\nx", shell.ReasonMalformed},
		"http/1.0":               {"GET /v1/sessions HTTP/1.0\r\n" + auth + "\r\n", shell.ReasonMalformed},
		"method":                 {"PATCH /v1/sessions HTTP/1.1\r\nHost: h\r\n" + auth + "\r\n", shell.ReasonMethod},
		"body too large":         {post("/v1/shell/a", auth+fmt.Sprintf("Content-Length: %d\r\n", shell.MaxOpenBody+1), ""), shell.ReasonBodyTooLarge},
		"stdin too large":        {post("/v1/sessions/"+someID+"/stdin", auth+fmt.Sprintf("Content-Length: %d\r\n", shell.MaxCallBody+1), ""), shell.ReasonBodyTooLarge},
		"length over 64 bit":     {post("/v1/shell/a", auth+"Content-Length: 99999999999999999999\r\n", ""), shell.ReasonMalformed},
		"negative length":        {post("/v1/shell/a", auth+"Content-Length: -1\r\n", ""), shell.ReasonMalformed},
		"headers too large":      {get("/v1/agent", "X-A: "+strings.Repeat("a", maxHeader)+"\r\n"), shell.ReasonHeaderTooLarge},
		"headers far too large":  {get("/v1/agent", "X-A: "+strings.Repeat("a", 64<<10)+"\r\n"), shell.ReasonMalformed},
		"target too long":        {get("/"+strings.Repeat("a", shell.MaxTarget), auth), shell.ReasonTargetForm},
		"folded header":          {get("/v1/sessions", "Authorization: Bearer a\r\n b\r\n"), shell.ReasonAuthorization},
		"space before the colon": {get("/v1/sessions", "Authorization : Bearer abc\r\n"), shell.ReasonMalformed},
		"bare cr in a header":    {get("/v1/sessions", "X-A: a\rb\r\n"), shell.ReasonMalformed},
		"not http":               {"\x16\x03\x01\x00\r\n\r\n", shell.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestBroker(t, nil)
			s := serve(t, b)
			resp, text, closed := raw(t, s, c.request)
			if !closed {
				t.Error("the connection stayed open")
			}
			eventually(t, "counted as "+string(c.reason), func() bool { return s.counted(c.reason) == 1 })
			if n := b.seen(""); n != 0 {
				t.Errorf("the broker saw %d calls", n)
			}
			var p Problem
			if json.Unmarshal(text, &p) != nil {
				// net/http refused it before we saw it, so the words are its own.
				if c.reason != shell.ReasonMalformed || resp.StatusCode < 400 {
					t.Errorf("status %d, %q", resp.StatusCode, text)
				}
				return
			}
			row := c.reason.Refusal()
			if resp.StatusCode != row.Status || p.Code != row.Code || p.Status != row.Status {
				t.Errorf("%d %+v, want %+v", resp.StatusCode, p, row)
			}
		})
	}
}

func TestUnfinishedHeadersAreCounted(t *testing.T) {
	b := newTestBroker(t, nil)
	s := serve(t, b)
	conn, err := tls.Dial("tcp", s.addr, s.tls)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET /v1/agent HTTP/1.1\r\nHos")
	conn.Close()
	eventually(t, "counted", func() bool { return s.counted(shell.ReasonMalformed) == 1 })
}

func TestRefusedConnectionsDoNotHurtOthersOfTheSameHTTP2(t *testing.T) {
	b := newTestBroker(t, nil)
	s := serve(t, b)
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: s.tls, Protocols: &protocols}
	defer transport.CloseIdleConnections()
	for _, c := range []struct {
		change func(*http.Request)
		reason shell.Reason
	}{
		{func(r *http.Request) { r.Header["Origin"] = []string{"null"} }, shell.ReasonOrigin},
		{func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer a", "Bearer b"} }, shell.ReasonAuthorization},
		{func(r *http.Request) { r.URL.Opaque = "//" + s.addr + "//v1/sessions" }, shell.ReasonTargetForm},
		{func(r *http.Request) { r.URL.RawQuery = "a=b" }, shell.ReasonTargetForm},
		{func(r *http.Request) {
			// The connection of the request before may just be on its way out.
			r.Method, r.ContentLength = "POST", -1
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
			r.Body, _ = r.GetBody()
			r.Header["Authorization"] = []string{"Bearer a"}
		}, shell.ReasonNoLength},
		{func(*http.Request) {}, shell.ReasonNoToken},
	} {
		r, err := http.NewRequestWithContext(context.Background(), "GET", "https://"+s.addr+"/v1/sessions", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.change(r)
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != c.reason.Refusal().Status || s.counted(c.reason) == 0 {
			t.Errorf("%s: HTTP/%d, status %d, counted %d", c.reason, resp.ProtoMajor, resp.StatusCode, s.counted(c.reason))
		}
	}
}

func TestBasePath(t *testing.T) {
	b := newTestBroker(t, nil)
	var target string
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		target = call.Target
		return jsonReply(map[string]bool{"ended": true})
	}
	s := serve(t, b, func(cfg *HandlerConfig, _ *Handler) { cfg.BasePath = "/ops/agent/" })
	c := s.client(t, func(cfg *ClientConfig) { cfg.BaseURL.Path = "/ops/agent" })
	if err := c.Kill(context.Background(), someID); err != nil {
		t.Fatal(err)
	}
	if target != "/v1/sessions/"+someID {
		t.Errorf("target %q", target)
	}
	for _, path := range []string{"/v1/sessions", "/ops/agentx/v1/sessions", "/ops/agent"} {
		resp, _, closed := raw(t, s, "GET "+path+" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\n\r\n")
		if resp.StatusCode != 404 || !closed {
			t.Errorf("%s: %d, closed %v", path, resp.StatusCode, closed)
		}
	}
}

func FuzzCheckTarget(f *testing.F) {
	f.Add("/v1/sessions/x/stream?from=1")
	f.Add("/v1/../x")
	f.Fuzz(func(t *testing.T, target string) {
		if checkTarget(target) != nil {
			return
		}
		path, _, _ := strings.Cut(target, "?")
		if strings.ContainsAny(target, "%\\#; ") || strings.Contains(path, "//") || strings.Contains(path+"/", "/../") ||
			strings.HasSuffix(path, "/") || path[0] != '/' || len(target) > shell.MaxTarget {
			t.Errorf("accepted %q", target)
		}
	})
}
