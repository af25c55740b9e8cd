package sink

import (
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/audit"
)

// collector is an HTTPS server that takes lines, and misbehaves.
type collector struct {
	*httptest.Server
	behave func(n int, w http.ResponseWriter, r *http.Request, lines []string) (taken bool)

	mu    sync.Mutex
	calls int
	lines []string
	last  http.Header
}

func newCollector(t *testing.T, behave func(int, http.ResponseWriter, *http.Request, []string) bool) (c *collector, ca string) {
	t.Helper()
	c = &collector{behave: behave}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	c.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	c.StartTLS()
	t.Cleanup(func() { c.CloseClientConnections(); c.Close() })
	ca = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return c, ca
}

func (c *collector) serve(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	var lines []string
	if r.Header.Get("Content-Type") == "application/json" {
		var all []json.RawMessage
		if err := json.Unmarshal(b, &all); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		for _, one := range all {
			lines = append(lines, string(one))
		}
	} else {
		lines = strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	c.mu.Lock()
	c.calls++
	n := c.calls
	c.last = r.Header.Clone()
	c.mu.Unlock()
	if c.behave(n, w, r, lines) {
		c.mu.Lock()
		c.lines = append(c.lines, lines...)
		c.mu.Unlock()
	}
}

func (c *collector) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines...)
}

// A server that hangs, resets, and answers 500, 429 and 413 in turns costs time
// and nothing else.
func TestHostileServerLosesNothing(t *testing.T) {
	tr := newTrail(t, audit.Options{MaxFile: 40 << 10})
	seen := make(map[int]int)
	var mu sync.Mutex
	c, ca := newCollector(t, func(n int, w http.ResponseWriter, r *http.Request, lines []string) bool {
		evil := n % 7
		mu.Lock()
		seen[evil]++
		mu.Unlock()
		switch {
		case evil == 1: // hangs until the client gives up
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // or it would answer that it took them
		case evil == 2: // takes the lines and resets the connection
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return true
		case evil == 3:
			w.WriteHeader(http.StatusInternalServerError)
			return rand.IntN(2) == 0 // who knows
		case evil == 4:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return false
		case evil == 5 && len(lines) > 20, len(lines) > 80:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return false
		case evil == 6: // the answer breaks off
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
			return true
		}
		return true
	})
	tr.add(0, 250)
	tr.apply(Config{Type: TypeHTTPS, URL: c.URL + "/in", CAPath: ca, Timeout: time.Second, Batch: 200})
	tr.add(250, 300)
	tr.awaitAll()
	tr.wholeAndInOrder(c.got())
	mu.Lock()
	defer mu.Unlock()
	if s := tr.set.States()[0]; len(seen) != 7 || s.Lost != 0 || s.Taken != tr.Link().N {
		t.Errorf("behaved in %d ways: %v; %+v", len(seen), seen, s)
	}
}

func TestRequestsOfAnHTTPSink(t *testing.T) {
	for _, c := range []struct {
		format, header string
		gzip           bool
		auth           string
	}{
		{"ndjson", "application/x-ndjson", true, "bearer"}, {"json", "application/json", false, "basic"},
	} {
		tr := newTrail(t, audit.Options{})
		collector, ca := newCollector(t, func(_ int, _ http.ResponseWriter, _ *http.Request, _ []string) bool { return true })
		credential := filepath.Join(tr.dir, "credential")
		if err := os.WriteFile(credential, []byte("user:secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := Config{
			Type: TypeHTTPS, URL: collector.URL, CAPath: ca, Format: c.format, Gzip: &c.gzip, Headers: map[string]string{"X-Scope": "audit"},
		}
		want := "Bearer user:secret"
		if c.auth == "bearer" {
			cfg.BearerPath = credential
		} else {
			cfg.BasicPath, want = credential, "Basic dXNlcjpzZWNyZXQ="
		}
		tr.apply(cfg)
		tr.add(0, 30)
		tr.awaitAll()
		tr.wholeAndInOrder(collector.got())
		h := collector.last
		if h.Get("Authorization") != want || h.Get("X-Scope") != "audit" || h.Get("Content-Type") != c.header || (h.Get("Content-Encoding") == "gzip") != c.gzip {
			t.Errorf("%v", h)
		}
	}
}

func TestOnlyTheConfiguredServer(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	other, _ := newCollector(t, func(int, http.ResponseWriter, *http.Request, []string) bool { return true })
	c, ca := newCollector(t, func(_ int, w http.ResponseWriter, r *http.Request, _ []string) bool {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		return false
	})
	tr.apply(Config{Type: TypeHTTPS, URL: c.URL, CAPath: ca})
	tr.add(0, 1)
	tr.await("the redirect refused", func(s State) bool { return s.Err != nil && strings.Contains(s.Err.Error(), "307") })
	tr.apply(Config{Type: TypeHTTPS, URL: other.URL}) // without its authority
	tr.await("an unknown certificate refused", func(s State) bool { return s.Err != nil && strings.Contains(s.Err.Error(), "certificate") })
	if n := len(other.got()); n != 0 {
		t.Errorf("%d lines went elsewhere", n)
	}
}

// What a reload, its rollback or an upgrade applies is not refused for a file
// that is gone since the configuration was checked.
func TestAuthorityThatIsGoneForAWhile(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	c, ca := newCollector(t, func(int, http.ResponseWriter, *http.Request, []string) bool { return true })
	if err := os.Rename(ca, ca+".away"); err != nil {
		t.Fatal(err)
	}
	tr.set.Apply([]Config{Config{Type: TypeHTTPS, URL: c.URL, CAPath: ca}.Rooted(tr.dir)})
	tr.add(0, 20)
	tr.await("that it fails", func(s State) bool { return s.Err != nil && s.Failures > 1 })
	if err := os.Rename(ca+".away", ca); err != nil {
		t.Fatal(err)
	}
	tr.awaitAll()
	tr.wholeAndInOrder(c.got())
}

func TestLineThatIsTooLargeIsTold(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	c, ca := newCollector(t, func(_ int, w http.ResponseWriter, _ *http.Request, lines []string) bool {
		for _, l := range lines {
			if strings.Contains(l, `"S00007"`) {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return false
			}
		}
		return true
	})
	tr.add(0, 20)
	tr.apply(Config{Type: TypeHTTPS, URL: c.URL, CAPath: ca})
	tr.awaitAll()
	if n := uint64(len(c.got())); n != tr.Link().N-1 {
		t.Errorf("%d lines came of %d", n, tr.Link().N)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.told) != 1 || tr.told[0].Kind != audit.TrailLost || tr.told[0].Session != "S00007" || tr.told[0].Reason != "rejected" {
		t.Errorf("%+v", tr.told)
	}
}

// bulk answers as Elasticsearch does: documents with an id that is known are
// conflicts, and one in eight has to come again.
func TestBulk(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	var mu sync.Mutex
	stored := make(map[string]string)
	c, ca := newCollector(t, func(n int, w http.ResponseWriter, r *http.Request, lines []string) bool {
		mu.Lock()
		defer mu.Unlock()
		type result struct {
			Status int `json:"status"`
			Error  any `json:"error,omitempty"`
		}
		var items []map[string]result
		for i := 0; i+1 < len(lines); i += 2 {
			var action struct {
				Create struct {
					Index string `json:"_index"`
					ID    string `json:"_id"`
				} `json:"create"`
			}
			var doc struct {
				Timestamp, Time time.Time
				Session         string
			}
			if err := json.Unmarshal([]byte(lines[i]), &action); err != nil || action.Create.Index != "logs" {
				t.Errorf("%v: %s", err, lines[i])
			}
			if err := json.Unmarshal([]byte(strings.Replace(lines[i+1], "@timestamp", "timestamp", 1)), &doc); err != nil || !doc.Timestamp.Equal(doc.Time) {
				t.Errorf("%v: %s", err, lines[i+1])
			}
			one := result{Status: 201}
			switch {
			case stored[action.Create.ID] != "":
				one.Status = 409
			case doc.Session == "S00003":
				one = result{400, map[string]string{"type": "mapper_parsing_exception", "reason": "no"}}
			case rand.IntN(8) == 0:
				one = result{429, map[string]string{"type": "es_rejected_execution_exception", "reason": "busy"}}
			default:
				stored[action.Create.ID] = lines[i+1]
			}
			items = append(items, map[string]result{"create": one})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": true, "items": items})
		return r.URL.Path == "/es/_bulk"
	})
	tr.add(0, 40)
	tr.apply(Config{Type: TypeElasticsearch, URL: c.URL + "/es/", CAPath: ca, Index: "logs", Batch: 20})
	tr.awaitAll()
	mu.Lock()
	defer mu.Unlock()
	if s := tr.set.States()[0]; uint64(len(stored)) != tr.Link().N-1 || s.Lost != 1 || s.Taken != tr.Link().N-1 || len(c.got()) == 0 {
		t.Errorf("%d documents of %d lines: %+v", len(stored), tr.Link().N, s)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "x": 0, "999999": maxServerWait,
		"Wed, 02 Jan 2030 03:05:05 GMT": time.Minute, "Wed, 02 Jan 2029 03:05:05 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func FuzzBulkAnswer(f *testing.F) {
	f.Add([]byte(`{"items":[{"create":{"status":201}}]}`))
	f.Add([]byte(`{"items":[{}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		out, err := bulkBody{"x"}.judge(make([]audit.Entry, 1), answer)
		if out.done > 1 || out.done == 1 && err != nil {
			t.Errorf("%+v %v", out, err)
		}
	})
}
