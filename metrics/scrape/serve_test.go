package scrape

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"shellagent/metrics"
	"shellagent/shell"
)

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nothing(context.Context) ([]byte, error) { return []byte("# nothing\n"), nil }

// serve runs Serve on a loopback port and returns its base URL.
func serve(t *testing.T, text func(context.Context) ([]byte, error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, text, discard) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve returned %v after it was stopped", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve did not stop within 10 s")
		}
		if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
			t.Error("the listener is open after Serve returned")
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + l.Addr().String()
}

func TestScrape(t *testing.T) {
	m := metrics.New(metrics.Config{})
	m.Configure([]string{"debug"}, []string{"alice"})
	url := serve(t, m.Text)
	m.Observe(shell.Event{
		Kind: shell.EventOpened, Session: "1", Source: "debug", Subject: "alice", Key: "some-key", User: "operator",
		UID: 1000, Remote: netip.MustParseAddr("192.0.2.7"), Duration: time.Millisecond,
	})
	m.Observe(shell.Event{Kind: shell.EventRefused, Reason: shell.ReasonReplay, Count: 1})

	want := `# HELP shellagent_sessions_active Live sessions.
# TYPE shellagent_sessions_active gauge
shellagent_sessions_active{source="debug",subject="alice"} 1
`
	if err := testutil.ScrapeAndCompare(url+"/metrics", strings.NewReader(want), "shellagent_sessions_active"); err != nil {
		t.Error(err)
	}
	res, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("Content-Type %q", got)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`shellagent_refusals_total{reason="replay"} 1`, `shellagent_refusals_total{reason="signature"} 0`,
		"process_open_fds ", "go_goroutines ",
	} {
		if !strings.Contains(string(body), "\n"+line) {
			t.Errorf("the scrape has no line %s", line)
		}
	}
	if strings.Contains(string(body), "192.0.2.7") || strings.Contains(string(body), "some-key") || strings.Contains(string(body), "operator") {
		t.Error("an address, a key or a user of the host is told")
	}
}

func TestOnlyMetricsAreServed(t *testing.T) {
	url := serve(t, nothing)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/metrics", 200},
		{"HEAD", "/metrics", 200},
		{"POST", "/metrics", 405},
		{"GET", "/metrics/", 404},
		{"GET", "/", 404},
		{"GET", "/debug/pprof/", 404},
		{"POST", "/v1/shell/debug", 404},
	} {
		req, err := http.NewRequest(c.method, url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, res.StatusCode, c.status)
		}
		if !res.Close {
			t.Errorf("%s %s: the connection is kept", c.method, c.path)
		}
	}
}

func TestScrapesAreBounded(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	url := serve(t, func(context.Context) ([]byte, error) {
		entered <- struct{}{}
		<-leave
		return nil, errors.New("no metrics today")
	})
	codes := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() {
			res, err := http.Get(url + "/metrics")
			if err != nil {
				codes <- 0
				return
			}
			res.Body.Close()
			codes <- res.StatusCode
		}()
		<-entered
	}
	res, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("scrape %d at a time: %d, want 503", maxScrapes+1, res.StatusCode)
	}
	close(leave)
	for range maxScrapes {
		if code := <-codes; code != http.StatusInternalServerError {
			t.Errorf("a failed scrape is answered %d, want 500", code)
		}
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	url := serve(t, nothing)
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		// The write fails when the server has heard enough.
		_, _ = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("a", 1<<20))
	}()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("got %q, %v; want status 431", line, err)
	}
}

func TestServeTellsWhyItEnded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, nil, discard); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v, want an error that names the address and wraps net.ErrClosed", err)
	}
}

// A connection that asks for nothing, or a letter at a time, is closed within
// the time for headers, and keeps no scraper out for longer.
func TestHoardedConnectionsGoAway(t *testing.T) {
	url := serve(t, nothing)
	hoard := make([]net.Conn, MaxConnections)
	for i := range hoard {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost:")
		}
		hoard[i] = c
	}
	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("behind %d idle connections: %d", MaxConnections, res.StatusCode)
	}
	for i, c := range hoard {
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}
