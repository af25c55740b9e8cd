package metrics

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newMetrics(t testing.TB, sources, subjects []string) (*Metrics, *clock) {
	t.Helper()
	c := &clock{at: time.Unix(1_800_000_000, 0)}
	m := New(Config{Version: "v1.2.3", Commit: "abcdef", Now: c.now})
	m.Configure(sources, subjects)
	return m, c
}

func opened(id, source, subject string, uid uint32) shell.Event {
	return shell.Event{
		Kind: shell.EventOpened, Session: id, Source: source, Subject: subject, Key: "some-key", User: "operator",
		UID: uid, Remote: netip.MustParseAddr("192.0.2.7"), Duration: 3 * time.Millisecond,
	}
}

func ended(id, source, subject string, lasted time.Duration) shell.Event {
	return shell.Event{Kind: shell.EventEnded, Session: id, Source: source, Subject: subject, Duration: lasted, Input: 9, Output: 9}
}

// wants compares the named metrics with an exposition without its comments.
func wants(t *testing.T, m *Metrics, names []string, want string) {
	t.Helper()
	text, err := m.Text(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "{")
		if slices.Contains(names, name) {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(got)
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(want, "\t", "")), "\n")
	slices.Sort(lines)
	if want := strings.Join(lines, "\n"); strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestSessions(t *testing.T) {
	m, clock := newMetrics(t, []string{"debug", "admin"}, []string{"alice"})
	m.Observe(opened("1", "debug", "alice", 1000))
	clock.at = clock.at.Add(time.Hour)
	m.Observe(opened("2", "debug", "alice", 1000))
	m.Observe(opened("3", "admin", "", 0))
	m.Observe(shell.Event{Kind: shell.EventStdin, Source: "debug", Subject: "alice", Input: 5, Duration: time.Millisecond})
	m.Observe(shell.Event{Kind: shell.EventOutput, Source: "debug", Subject: "alice", Output: 1 << 40})
	m.Observe(shell.Event{Kind: shell.EventOutput, Source: "debug", Subject: "alice", Output: 1})
	m.Observe(shell.Event{Kind: shell.EventDetached, Session: "1", Source: "debug", Subject: "alice"})
	m.Observe(shell.Event{Kind: shell.EventAttached, Session: "1", Source: "debug", Subject: "alice"})
	clock.at = clock.at.Add(time.Minute)

	names := []string{
		"shellagent_sessions_active", "shellagent_sessions_root_active", "shellagent_sessions_total",
		"shellagent_session_oldest_age_seconds", "shellagent_session_seconds_total", "shellagent_session_duration_seconds_count",
		"shellagent_session_attaches_total", "shellagent_session_detaches_total", "shellagent_session_bytes_total",
		"shellagent_open_duration_seconds_count", "shellagent_open_duration_seconds_sum", "shellagent_stdin_duration_seconds_sum",
	}
	wants(t, m, names, `
		shellagent_sessions_active{source="admin",subject=""} 1
		shellagent_sessions_active{source="debug",subject="alice"} 2
		shellagent_sessions_root_active{source="admin",subject=""} 1
		shellagent_sessions_root_active{source="debug",subject="alice"} 0
		shellagent_sessions_total{source="admin",subject=""} 1
		shellagent_sessions_total{source="debug",subject="alice"} 2
		shellagent_session_oldest_age_seconds{source="admin",subject=""} 60
		shellagent_session_oldest_age_seconds{source="debug",subject="alice"} 3660
		shellagent_session_seconds_total{source="admin",subject=""} 0
		shellagent_session_seconds_total{source="debug",subject="alice"} 0
		shellagent_session_duration_seconds_count 0
		shellagent_session_attaches_total{source="admin",subject=""} 0
		shellagent_session_attaches_total{source="debug",subject="alice"} 1
		shellagent_session_detaches_total{source="admin",subject=""} 0
		shellagent_session_detaches_total{source="debug",subject="alice"} 1
		shellagent_session_bytes_total{direction="input",source="admin",subject=""} 0
		shellagent_session_bytes_total{direction="input",source="debug",subject="alice"} 5
		shellagent_session_bytes_total{direction="output",source="admin",subject=""} 0
		shellagent_session_bytes_total{direction="output",source="debug",subject="alice"} 1.099511627777e+12
		shellagent_open_duration_seconds_count 3
		shellagent_open_duration_seconds_sum 0.009000000000000001
		shellagent_stdin_duration_seconds_sum 0.001`)

	m.Observe(ended("1", "debug", "alice", 3660*time.Second))
	m.Observe(ended("2", "debug", "alice", 1500*time.Millisecond))
	wants(t, m, names[:6], `
		shellagent_sessions_active{source="admin",subject=""} 1
		shellagent_sessions_active{source="debug",subject="alice"} 0
		shellagent_sessions_root_active{source="admin",subject=""} 1
		shellagent_sessions_root_active{source="debug",subject="alice"} 0
		shellagent_sessions_total{source="admin",subject=""} 1
		shellagent_sessions_total{source="debug",subject="alice"} 2
		shellagent_session_oldest_age_seconds{source="admin",subject=""} 60
		shellagent_session_seconds_total{source="admin",subject=""} 0
		shellagent_session_seconds_total{source="debug",subject="alice"} 3661.5
		shellagent_session_duration_seconds_count 2`)
}

// A program that ends at once may be told to have ended before it is told to
// have been opened; and no event that is told twice may unbalance the gauge.
func TestEventsOutOfOrder(t *testing.T) {
	m, _ := newMetrics(t, []string{"debug"}, nil)
	m.Observe(ended("1", "debug", "", time.Millisecond))
	m.Observe(opened("1", "debug", "", 1000))
	m.Observe(opened("2", "debug", "", 1000))
	m.Observe(opened("2", "debug", "", 1000))
	m.Observe(ended("2", "debug", "", time.Second))
	m.Observe(ended("2", "debug", "", -time.Second))
	wants(t, m, []string{"shellagent_sessions_active", "shellagent_session_seconds_total", "shellagent_session_oldest_age_seconds"}, `
		shellagent_sessions_active{source="debug",subject=""} 0
		shellagent_session_seconds_total{source="debug",subject=""} 1.001`)
}

func TestRefusals(t *testing.T) {
	m, _ := newMetrics(t, nil, nil)
	before, err := m.Text(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(string(before), "\nshellagent_refusals_total{"), len(shell.Refusals())-1; got != want {
		t.Errorf("%d reasons before the first refusal, want all %d that are counted", got, want)
	}
	m.Observe(shell.Event{Kind: shell.EventRefused, Reason: shell.ReasonReplay, Source: "forged", Subject: "forged", Key: "forged"})
	m.Observe(shell.Event{Kind: shell.EventRefused, Reason: shell.ReasonOrigin, Count: 7})
	m.Observe(shell.Event{Kind: shell.EventRefused, Reason: shell.ReasonSessionEnded, Count: 3})
	m.Observe(shell.Event{Kind: shell.EventRefused, Reason: "made up by somebody", Count: 1})
	for reason, want := range map[shell.Reason]float64{
		shell.ReasonReplay: 1, shell.ReasonOrigin: 7, shell.ReasonInternal: 1, shell.ReasonSignature: 0,
	} {
		if got := float64(m.refusals[reason].n.Load()); got != want {
			t.Errorf("%s = %v, want %v", reason, got, want)
		}
	}
	if text, _ := m.Text(t.Context()); strings.Contains(string(text), "forged") || strings.Contains(string(text), "made up") {
		t.Error("what a refused caller chose became a label")
	}
}

func TestReloadAndFront(t *testing.T) {
	m, clock := newMetrics(t, nil, nil)
	names := []string{
		"shellagent_config_last_reload_successful", "shellagent_config_last_reload_success_timestamp_seconds",
		"shellagent_config_reload_failures_total", "shellagent_front_restarts_total", "shellagent_build_info",
	}
	m.Observe(shell.Event{Kind: shell.EventFrontStarted})
	clock.at = clock.at.Add(10 * time.Second)
	m.Observe(shell.Event{Kind: shell.EventReloaded, Err: errors.New("agent.json:3:1: unknown key"), Time: clock.at})
	m.Observe(shell.Event{Kind: shell.EventFrontStarted, Count: 1})
	m.Observe(shell.Event{Kind: shell.EventFrontStarted, Count: 2})
	build := fmt.Sprintf("shellagent_build_info{commit=\"abcdef\",goversion=%q,version=\"v1.2.3\"} 1", runtime.Version())
	wants(t, m, names, build+`
		shellagent_config_last_reload_successful 0
		shellagent_config_last_reload_success_timestamp_seconds 1.8e+09
		shellagent_config_reload_failures_total 1
		shellagent_front_restarts_total 2`)
	m.Observe(shell.Event{Kind: shell.EventReloaded})
	wants(t, m, names[:3], `
		shellagent_config_last_reload_successful 1
		shellagent_config_last_reload_success_timestamp_seconds 1.80000001e+09
		shellagent_config_reload_failures_total 1`)
}

func TestUpgrades(t *testing.T) {
	m, _ := newMetrics(t, []string{"debug"}, []string{"alice"})
	names := []string{
		"shellagent_upgrades_total", "shellagent_upgrade_failures_total", "shellagent_sessions_active",
		"shellagent_sessions_total", "shellagent_session_oldest_age_seconds",
	}
	m.Observe(shell.Event{Kind: shell.EventUpgraded, Count: 3})
	m.Observe(shell.Event{Kind: shell.EventUpgraded, Err: errors.New("the new one does not start")})
	e := opened("1", "debug", "alice", 0)
	e.Kind, e.Duration = shell.EventContinued, time.Hour
	m.Observe(ended("2", "debug", "alice", time.Second))
	m.Observe(e)
	e.Session = "2" // which ended while it was taken over
	m.Observe(e)
	wants(t, m, names, `
		shellagent_session_oldest_age_seconds{source="debug",subject="alice"} 3600
		shellagent_sessions_active{source="debug",subject="alice"} 1
		shellagent_sessions_total{source="debug",subject="alice"} 0
		shellagent_upgrade_failures_total 1
		shellagent_upgrades_total 3`)
}

// Each hot event may be counted from many sessions at once, while a scraper reads
// and the configuration changes.
func TestConcurrentUse(t *testing.T) {
	m, _ := newMetrics(t, []string{"debug"}, []string{"alice"})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 200 {
				id := fmt.Sprint(worker, i)
				m.Observe(opened(id, "debug", "alice", 1000))
				m.Observe(shell.Event{Kind: shell.EventOutput, Source: "debug", Subject: "alice", Output: 1})
				m.Observe(ended(id, "debug", "alice", time.Second))
			}
		})
	}
	all.Go(func() {
		for range 50 {
			if _, err := m.Text(t.Context()); err != nil {
				t.Error(err)
			}
			m.Configure([]string{"debug"}, []string{"alice"})
		}
	})
	all.Wait()
	wants(t, m, []string{"shellagent_sessions_active", "shellagent_sessions_total"}, `
		shellagent_sessions_active{source="debug",subject="alice"} 0
		shellagent_sessions_total{source="debug",subject="alice"} 800`)
}

func TestForwards(t *testing.T) {
	m, _ := newMetrics(t, nil, nil)
	tell := func(kind shell.EventKind, do, code string, in, out uint64) {
		m.Observe(shell.Event{Kind: kind, Source: "debug", Input: in, Output: out, Detail: &shell.Detail{Forward: &shell.Forwarded{Do: do, Code: code}}})
	}
	tell(shell.EventForwardOpened, "open", "", 0, 0)
	tell(shell.EventForwardOpened, "open", "", 0, 0)
	tell(shell.EventForwardOpened, "listen", "", 0, 0)
	tell(shell.EventForwardEnded, "open", "", 3, 4)
	tell(shell.EventForwardEnded, "open", "refused", 0, 0)
	tell(shell.EventForwardDenied, "open", "denied", 0, 0)
	tell(shell.EventForwardDenied, "accept", "denied", 0, 0)
	tell(shell.EventForwardFailed, "open", "limit", 0, 0)
	tell(shell.EventForwardFailed, "open", "of a later helper", 0, 0)
	m.Observe(shell.Event{Kind: shell.EventForwardOpened})
	wants(t, m, []string{"shellagent_forwards_opened_total", "shellagent_forwards_ended_total", "shellagent_forwards_denied_total", "shellagent_forwarded_bytes_total"}, `
		shellagent_forwards_opened_total{do="accept"} 0
		shellagent_forwards_opened_total{do="listen"} 1
		shellagent_forwards_opened_total{do="open"} 2
		shellagent_forwards_ended_total{do="accept"} 0
		shellagent_forwards_ended_total{do="listen"} 0
		shellagent_forwards_ended_total{do="open"} 2
		shellagent_forwards_denied_total{do="accept"} 1
		shellagent_forwards_denied_total{do="listen"} 0
		shellagent_forwards_denied_total{do="open"} 1
		shellagent_forwarded_bytes_total{direction="from_client"} 3
		shellagent_forwarded_bytes_total{direction="to_client"} 4`)
	text, _ := m.Text(t.Context())
	for _, line := range []string{`{code="refused"} 1`, `{code="limit"} 1`, `{code="failed"} 1`, `{code="timeout"} 0`} {
		if !strings.Contains(string(text), "shellagent_forwards_failed_total"+line) {
			t.Errorf("no %s", line)
		}
	}
}
