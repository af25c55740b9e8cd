package prometheus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/metrics"
	"shellagent/metrics/scrape"
	"shellagent/shell"
)

func promtool(t *testing.T, args ...string) {
	t.Helper()
	bin, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("promtool is missing: make test installs it when run as root: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesWithPromtool(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
	promtool(t, "test", "rules", "rules_test.yml")
}

var alertName = regexp.MustCompile(`(?m)^ +(?:- )?(?:alert|alertname): (\S+)$`)

func TestEveryAlertIsTested(t *testing.T) {
	tests, err := os.ReadFile("rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	tested := make(map[string]bool)
	for _, m := range alertName.FindAllSubmatch(tests, -1) {
		tested[string(m[1])] = true
	}
	alerts := alertName.FindAllStringSubmatch(rules, -1)
	if len(alerts) == 0 {
		t.Fatal("no alert found in rules.yml")
	}
	for _, m := range alerts {
		if !tested[m[1]] {
			t.Errorf("rules_test.yml does not test %s", m[1])
		}
		if !strings.Contains(string(readme), "`"+m[1]+"`") {
			t.Errorf("README.md does not name %s", m[1])
		}
	}
}

// trail is how the audit trail of the agent is.
var trail atomic.Pointer[metrics.Trail]

// agent serves metrics as an agent does, and is told of sessions by the test.
func agent(t *testing.T) (*metrics.Metrics, string) {
	t.Helper()
	trail.Store(&metrics.Trail{Writable: true, Sinks: []metrics.Sink{{Name: "siem", Up: true}}})
	m := metrics.New(metrics.Config{Version: "test", Trail: func() *metrics.Trail { return trail.Load() }})
	m.Configure([]string{"debug"}, []string{"alice"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- scrape.Serve(ctx, l, m.Text, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m, l.Addr().String()
}

// Every metric that a rule names must be one that an agent exports.
func TestRulesNameRealMetrics(t *testing.T) {
	m, _ := agent(t)
	m.Observe(shell.Event{Kind: shell.EventOpened, Session: "1", Source: "debug", Subject: "alice"})
	text, err := m.Text(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`shellagent_\w+`).FindAllString(rules, -1)
	if len(names) == 0 {
		t.Fatal("no metric found in rules.yml")
	}
	for _, name := range names {
		if !strings.Contains(string(text), "\n# TYPE "+name+" ") {
			t.Errorf("rules.yml names %s, which no agent exports", name)
		}
	}
	for _, m := range regexp.MustCompile(`reason(?:=~|!=)"([^"]+)"`).FindAllStringSubmatch(rules, -1) {
		for reason := range strings.SplitSeq(m[1], "|") {
			if !strings.Contains(string(text), `reason="`+reason+`"`) {
				t.Errorf("rules.yml names the reason %s, which no agent exports", reason)
			}
		}
	}
}

func TestRealPrometheus(t *testing.T) {
	m, address := agent(t)
	p := Start(t, address)
	p.WaitQuiet(t, "ShellOpen")

	alice := map[string]string{"source": "debug", "subject": "alice"}
	m.Observe(shell.Event{Kind: shell.EventOpened, Session: "1", Source: "debug", Subject: "alice", UID: 0})
	p.WaitFiring(t, "ShellOpen", alice)
	p.WaitFiring(t, "ShellAsRoot", alice)
	m.Observe(shell.Event{Kind: shell.EventEnded, Session: "1", Source: "debug", Subject: "alice"})
	p.WaitQuiet(t, "ShellOpen")
	p.WaitQuiet(t, "ShellAsRoot")

	m.Observe(shell.Event{Kind: shell.EventRefused, Reason: shell.ReasonReplay, Count: 1})
	p.WaitFiring(t, "ShellReplay", map[string]string{"reason": "replay"})
	m.Observe(shell.Event{Kind: shell.EventReloaded, Err: errors.New("broken")})
	p.WaitFiring(t, "ShellConfigurationBroken", map[string]string{})

	p.WaitQuiet(t, "ShellSinkBehind")
	m.Observe(shell.Event{Kind: shell.EventRecordingFailed, Source: "debug", Err: errors.New("no space")})
	trail.Store(&metrics.Trail{Writable: true, Lost: 7, Sinks: []metrics.Sink{{Name: "siem", Age: time.Hour, Lost: 3, Up: true}}})
	p.WaitFiring(t, "ShellNotRecorded", map[string]string{})
	p.WaitFiring(t, "ShellFactsLost", map[string]string{})
	for _, alert := range []string{"ShellSinkBehind", "ShellSinkDropped"} {
		p.WaitFiring(t, alert, map[string]string{"sink": "siem"})
	}
}
