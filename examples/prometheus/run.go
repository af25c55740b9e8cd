package prometheus

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	interval = 200 * time.Millisecond
	patience = 30 * time.Second
)

// Server is a running Prometheus with the example's configuration and rules.
type Server struct {
	// URL is its base URL, without a slash at the end.
	URL string

	client http.Client
}

// Start runs the prometheus of $PATH until the test ends. It scrapes target,
// the host:port of an agent's metrics listener, and evaluates the rules five
// times per second. A prometheus that is missing or does not start fails the test.
func Start(t testing.TB, target string) *Server {
	t.Helper()
	bin, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("prometheus is missing: make test installs it when run as root: %v", err)
	}
	dir := t.TempDir()
	text, err := Config(target, interval)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"prometheus.yml": text, "rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bin, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0")
	cmd.Dir = dir
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, drained := watch(log)
	s := &Server{client: http.Client{Timeout: 5 * time.Second}}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its data is a temporary directory
		<-drained
		_ = cmd.Wait()
		s.client.CloseIdleConnections()
	})
	select {
	case a, ok := <-address:
		if !ok {
			t.Fatal("prometheus ended before it listened")
		}
		s.URL = "http://" + a
	case <-time.After(patience):
		t.Fatalf("prometheus did not listen within %s", patience)
	}
	return s
}

var listening = regexp.MustCompile(`Listening on.*address=(\S+)`)

// watch reads the log to its end and tells the address that it names, or closes
// the channel without one.
func watch(log io.Reader) (address chan string, drained chan struct{}) {
	address, drained = make(chan string, 1), make(chan struct{})
	go func() {
		defer close(drained)
		defer close(address)
		for lines, told := bufio.NewScanner(log), false; lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil && !told {
				address <- m[1]
				told = true
			}
		}
	}()
	return address, drained
}

// Firing returns the labels of every firing alert of that name, without
// alertname, instance, job and severity.
func (s *Server) Firing(alert string) ([]map[string]string, error) {
	res, err := s.client.Get(s.URL + "/api/v1/alerts")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("alerts of prometheus: %w", err)
	}
	var firing []map[string]string
	for _, a := range answer.Data.Alerts {
		if a.State != "firing" || a.Labels["alertname"] != alert {
			continue
		}
		maps.DeleteFunc(a.Labels, func(name, _ string) bool {
			return slices.Contains([]string{"alertname", "instance", "job", "severity"}, name)
		})
		firing = append(firing, a.Labels)
	}
	return firing, nil
}

// WaitFiring waits until an alert fires with exactly these labels, besides
// those that [Server.Firing] leaves out, and fails the test after 30 s.
func (s *Server) WaitFiring(t testing.TB, alert string, labels map[string]string) {
	t.Helper()
	s.wait(t, fmt.Sprintf("%s%v to fire", alert, labels), alert, func(firing []map[string]string) bool {
		return slices.ContainsFunc(firing, func(each map[string]string) bool { return maps.Equal(each, labels) })
	})
}

// WaitQuiet waits until no alert of that name fires, and fails the test after
// 30 s.
func (s *Server) WaitQuiet(t testing.TB, alert string) {
	t.Helper()
	s.wait(t, alert+" to be quiet", alert, func(firing []map[string]string) bool { return len(firing) == 0 })
}

func (s *Server) wait(t testing.TB, what, alert string, done func([]map[string]string) bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(interval/2)
	defer tick.Stop()
	for {
		firing, err := s.Firing(alert)
		if err == nil && done(firing) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("waited %s for %s: firing %v, %v; %s", patience, what, firing, err, s.targets())
		case <-tick.C:
		}
	}
}

// targets tells how scraping went, for a test that fails.
func (s *Server) targets() string {
	res, err := s.client.Get(s.URL + "/api/v1/targets")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return strings.TrimSpace(string(body))
}
