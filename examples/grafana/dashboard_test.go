package grafana

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"shellagent/examples/prometheus"
	"shellagent/metrics"
	"shellagent/metrics/scrape"
	"shellagent/shell"
)

// agent serves metrics as an agent does; events and a trail come from the test.
func agent(t *testing.T) (*metrics.Metrics, string) {
	t.Helper()
	m := metrics.New(metrics.Config{Version: "test", Trail: func() *metrics.Trail {
		return &metrics.Trail{Written: 3, Writable: true, Sinks: []metrics.Sink{{Name: "siem", Backlog: 10, Age: time.Second, Up: true}}}
	}})
	m.Configure([]string{"debug"}, []string{"alice"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- scrape.Serve(t.Context(), l, m.Text, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m, l.Addr().String()
}

// happen tells of something for every query to find.
func happen(m *metrics.Metrics) {
	of := shell.Event{Session: "1", Source: "debug", Subject: "alice", Duration: time.Millisecond, Input: 1, Output: 1}
	for _, kind := range []shell.EventKind{shell.EventOpened, shell.EventStdin, shell.EventOutput, shell.EventDetached, shell.EventAttached} {
		of.Kind = kind
		m.Observe(of)
	}
	m.Observe(shell.Event{Kind: shell.EventEnded, Session: "2", Source: "debug", Subject: "alice", Duration: time.Minute})
	m.Observe(shell.Event{Kind: shell.EventRefused, Reason: shell.ReasonReplay, Count: 1})
}

func panels(t *testing.T) []Panel {
	t.Helper()
	all, err := Panels()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no panel found in dashboard.json")
	}
	return all
}

// Every metric that a query names must be one that an agent exports.
func TestQueriesNameRealMetrics(t *testing.T) {
	m, address := agent(t)
	happen(m)
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	called := regexp.MustCompile(`\b(?:shellagent|process|go)_\w+`)
	ofHistogram := regexp.MustCompile(`_(?:bucket|count|sum)$`)
	scraped := func(name string) bool { return strings.Contains(string(text), "\n# TYPE "+name+" ") }
	for _, p := range panels(t) {
		for _, q := range p.Queries {
			names := called.FindAllString(q.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s: no metric found in %s", p.Title, q.Expr)
			}
			for _, name := range names {
				if !scraped(name) && !strings.Contains(string(text), "\n# TYPE "+ofHistogram.ReplaceAllString(name, "")+" histogram\n") {
					t.Errorf("%s names %s, which no agent exports", p.Title, name)
				}
			}
		}
	}
}

// A real Prometheus answers every query, with the labels that its legend names.
func TestRealPrometheus(t *testing.T) {
	m, address := agent(t)
	p := prometheus.Start(t, address)
	p.WaitQuiet(t, "ShellOpen") // it answers
	m.Observe(shell.Event{Kind: shell.EventReloaded, Err: errors.New("broken")})
	open := panels(t)
	var plots []Plot
	deadline, tick := time.After(time.Minute), time.NewTicker(250*time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for len(open) > 0 {
		happen(m)
		now := Span{From: begun.Add(-time.Second), To: time.Now(), Step: time.Second}
		plot, found := answer(t, p.URL, open[0], now)
		if found {
			plots, open = append(plots, plot), open[1:]
			continue
		}
		select {
		case <-deadline:
			t.Fatalf("%q has found nothing within a minute: %v", open[0].Title, open[0].Queries)
		case <-tick.C:
		}
	}
	var picture bytes.Buffer
	if err := Draw(&picture, plots, Span{From: begun, To: time.Now(), Step: time.Second}); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, picture.Bytes())
}

// answer tells whether each query of a panel has found something.
func answer(t *testing.T, base string, p Panel, over Span) (Plot, bool) {
	t.Helper()
	plot := Plot{Title: p.Title, Unit: p.Unit}
	for _, q := range p.Queries {
		all, err := Ask(t.Context(), base, q.Expand(30*time.Second), over)
		if err != nil {
			t.Fatalf("%s: %v", p.Title, err)
		}
		if len(all) == 0 {
			return plot, false
		}
		for _, field := range inLegend.FindAllStringSubmatch(q.Legend, -1) {
			if _, ok := all[0].Labels[field[1]]; !ok {
				t.Errorf("%s: %s has no label %s, which its legend names", p.Title, q.Expr, field[1])
			}
		}
		for _, s := range all {
			plot.Lines = append(plot.Lines, Line{Name: q.Name(s.Labels), Points: s.Points})
		}
	}
	return plot, true
}

func TestRealPrometheusRefusesNonsense(t *testing.T) {
	_, address := agent(t)
	p := prometheus.Start(t, address)
	p.WaitQuiet(t, "ShellOpen") // it answers
	now := time.Now()
	if _, err := Ask(t.Context(), p.URL, "sum by (", Span{From: now, To: now, Step: time.Second}); err == nil {
		t.Error("half an expression was answered")
	}
}

func wellFormed(t *testing.T, document []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(document)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}

func TestDrawIsWellFormedWhateverIsInIt(t *testing.T) {
	now := time.Now()
	for name, lines := range map[string][]Line{
		"nothing":  nil,
		"markup":   {{Name: `<b>&"'`, Points: []Point{{float64(now.Unix()), 0}}}},
		"one":      {{Name: "a", Points: []Point{{float64(now.Unix()), 1e9}}}},
		"too many": slices.Repeat([]Line{{Name: "a long name of a series"}}, 9),
	} {
		var picture bytes.Buffer
		if err := Draw(&picture, []Plot{{Title: name + " <>", Unit: "Bps", Lines: lines}}, Span{From: now.Add(-time.Minute), To: now, Step: time.Second}); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, picture.Bytes())
	}
}

// What Grafana silently goes wrong with: ids and places that are taken twice.
func TestPanelsHaveTheirOwnPlace(t *testing.T) {
	var file struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(dashboard, &file); err != nil {
		t.Fatal(err)
	}
	ids, cells := make(map[int]bool), make(map[[2]int]string)
	for _, p := range file.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s has the id %d, which is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		at := p.GridPos
		if at.X+at.W > 24 {
			t.Errorf("%s ends right of the page", p.Title)
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if cells[[2]int{x, y}] != "" {
					t.Fatalf("%s lies on %s", p.Title, cells[[2]int{x, y}])
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}

func TestReadmeNamesEveryFile(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dashboard.json", "provisioning/dashboards.yml", "provisioning/datasources.yml"} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not name %s", name)
		}
	}
}
