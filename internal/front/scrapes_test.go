package front

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/broker"
	"shellagent/shell"
)

// The metrics are served by the front, on a socket that outlives it; clients'
// requests reach neither the text by their own sockets nor the broker by this one.
func TestScrapes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	calls := make(chan *shell.Call, 16)
	a := start(t, func(c *broker.FrontConfig) {
		c.Metrics = l.(*net.TCPListener)
		c.MetricsText = func(context.Context) ([]byte, error) { return []byte("up 1\n"), nil }
	}, func(_ context.Context, c *shell.Call) *shell.Reply {
		calls <- c
		return &shell.Reply{Status: 404, Code: "not_found"}
	})
	client := &http.Client{Timeout: 10 * time.Second}
	get := func(path string) (int, string) {
		resp, err := client.Get("http://" + l.Addr().String() + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for range 2 {
		<-a.ready
		if status, body := get("/metrics"); status != 200 || body != "up 1\n" {
			t.Errorf("a scrape got %d %q", status, body)
		}
		if status, body := get("/v1/agent"); status != 404 {
			t.Errorf("the metrics' socket serves more: %d %q", status, body)
		}
		if err := unix.Kill(a.PID(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// A connection that the dying front had accepted is cut.
		eventually(t, "a scrape after the front was killed", func() bool { status, _ := get("/metrics"); return status == 200 })
	}
	<-a.ready
	for _, method := range []string{"METRICS", "GET"} {
		if status, body := do(t, a.client(t, false), request(method, a.url+"/metrics", "")); status == 200 {
			t.Errorf("%s at the clients' socket: %d %q", method, status, body)
		}
	}
	for len(calls) > 0 {
		if c := <-calls; c.Method == "METRICS" {
			t.Error("a request became the question for the metrics")
		}
	}
}
