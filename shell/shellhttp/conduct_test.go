package shellhttp

import (
	"context"
	"crypto/tls"
	"net/http/httptest"
	"testing"
	"time"

	"shellagent/shell"
)

func TestRefusalsAreHeldBack(t *testing.T) {
	b := newTestBroker(t, nil)
	wait := 300 * time.Millisecond
	b.before = func(*shell.Call) (*shell.Reply, error) {
		reply := problemOf(shell.Deny(shell.ReasonRateLimited, nil))
		reply.Wait = wait
		return reply, nil
	}
	s := serve(t, b)
	request := "GET /v1/sessions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\n\r\n"
	began := time.Now()
	resp, _, closed := raw(t, s, request)
	if took := time.Since(began); resp.StatusCode != 429 || !closed || took < wait || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %v after %v, closed %v", resp.StatusCode, resp.Header, took, closed)
	}
	// Whatever the broker says, a client's time is not wasted without end.
	began = time.Now()
	gone, leave := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer leave()
	h := NewHandler(HandlerConfig{Caller: b})
	h.hold(gone, time.Hour)
	h.hold(context.Background(), -time.Hour)
	// Nor is the agent's, when it stops.
	go NewServer(h, &tls.Config{}).Shutdown(context.Background())
	h.hold(context.Background(), time.Hour)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a client that is gone was held for %v", took)
	}
}

func TestConnectionsThatProveThemselves(t *testing.T) {
	for _, c := range []struct {
		reason shell.Reason
		want   int
	}{
		{"", 1}, {shell.ReasonMaxSessions, 1}, {shell.ReasonOffset, 1},
		{shell.ReasonSignature, 0}, {shell.ReasonStale, 0}, {shell.ReasonRateLimited, 0},
	} {
		b := newTestBroker(t, nil)
		b.before = func(*shell.Call) (*shell.Reply, error) {
			if c.reason != "" {
				return problemOf(shell.Deny(c.reason, nil)), nil
			}
			return &shell.Reply{Status: 200, Body: []byte("{}")}, nil
		}
		told := 0
		note := &connNote{tell: func() { told++ }}
		ctx := context.WithValue(t.Context(), connNoteKey{}, note)
		for range 2 {
			r := httptest.NewRequestWithContext(ctx, "GET", "/v1/sessions", nil)
			r.Header.Set("Authorization", "Bearer abc")
			NewHandler(HandlerConfig{Caller: b}).ServeHTTP(httptest.NewRecorder(), r)
		}
		if told != c.want {
			t.Errorf("%q: told %d times, want %d", c.reason, told, c.want)
		}
	}
}
