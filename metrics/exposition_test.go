package metrics

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"shellagent/shell"
)

// theirs is what Prometheus' own library makes of a collector.
func theirs(t *testing.T, all ...prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(all...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	encode := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encode.Encode(family); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// without leaves the values out.
func without(text string) string {
	var heads strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			line = line[:strings.LastIndexByte(line, ' ')] + "\n"
		}
		heads.WriteString(line)
	}
	return heads.String()
}

// What is told of the process and its runtime has the names, the help, the types
// and the labels that dashboards know from every other Go program.
func TestProcessAndRuntimeAsTheirs(t *testing.T) {
	want := theirs(t, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var s scrape
	goCollector{}.collect(&s)
	processCollector{}.collect(&s)
	got := string(s.text())
	if without(got) != without(want) {
		t.Errorf("got\n%s\nwant\n%s", without(got), without(want))
	}
	// What does not change between two scrapes.
	for _, name := range []string{
		"process_start_time_seconds", "process_max_fds", "process_virtual_memory_max_bytes", "go_info{", "go_gc_gogc_percent",
		"go_gc_gomemlimit_bytes", "go_sched_gomaxprocs_threads", "go_memstats_mcache_inuse_bytes",
	} {
		if a, b := lineOf(got, name), lineOf(want, name); a != b || a == "" {
			t.Errorf("got %q, want %q", a, b)
		}
	}
	if strings.Contains(got, "NaN") {
		t.Errorf("this Go lacks something:\n%s", got)
	}
}

func lineOf(text, name string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name) {
			return line
		}
	}
	return ""
}

// Counters, gauges and histograms are written as theirs, whatever is in labels and
// numbers.
func TestTextAsTheirs(t *testing.T) {
	numbers := []float64{0, 1, -1, .0001, .001, .0025, .1, 2.5, 1e6, 1e20, 1e21, 1.0000000000000002, 1 << 53, 7 * 24 * 3600, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat64, 5e-324}
	values := []string{"", "plain", `back\slash`, "two\nlines", `"quoted"`, "ünï çødé", "tab\t", "a,b", "{}", "zz"}
	var s scrape
	theirGauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "g", Help: "Back\\slash, \"quotes\"\nand lines."}, []string{"a", "b"})
	family := ours(kindGauge, "g", "Back\\slash, \"quotes\"\nand lines.", "a", "b")
	for i, number := range numbers {
		for _, value := range values {
			labels := []string{fmt.Sprint(i), value}
			theirGauge.WithLabelValues(labels...).Set(number)
			s.one(family, number, labels...)
		}
	}
	h := newHistogram("h", "Help.", sessionBuckets)
	theirHistogram := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "h", Help: "Help.", Buckets: sessionBuckets})
	for _, v := range append([]float64{-1, 0, .05, .1, 59.999, 60, 60.0001, 1e9, .3, .7}, sessionBuckets...) {
		h.observe(v)
		theirHistogram.Observe(v)
	}
	h.collect(&s)
	c := newCounter("c_total", "Help.")
	theirCounter := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "c_total", Help: "Help."})
	for _, n := range []uint64{1, 1 << 40, 12345678901} {
		c.add(n)
		theirCounter.Add(float64(n))
	}
	c.collect(&s)
	if got, want := string(s.text()), theirs(t, theirGauge, theirHistogram, theirCounter); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Everything that is told reads as what was meant, with labels in order and
// names that Prometheus' own rules find good.
func TestTextIsRead(t *testing.T) {
	m := New(Config{Version: "v1", Commit: "a", Trail: func() *Trail { return &Trail{Sinks: []Sink{{Name: "b"}, {Name: "a\"\n\\"}}} }})
	m.Configure([]string{"debug"}, []string{"alice"})
	m.Observe(opened("1", "debug", "alice", 0))
	m.Observe(opened("2", "other", "", 0))
	m.Observe(ended("1", "debug", "alice", time.Second))
	m.Observe(shell.Event{Kind: shell.EventRecording})
	text, err := m.Text(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, c := range m.all {
		var s scrape
		c.collect(&s)
		for f := range s.told {
			if !slices.IsSorted(f.labels) {
				t.Errorf("%s: the labels %q are not in order", f.name, f.labels)
			}
		}
	}
}

func FuzzProc(f *testing.F) {
	f.Add([]byte("1 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 20 18446744073709551615"))
	f.Add([]byte("btime 1795400147\ncpu 1 2 3\n"))
	f.Add([]byte("TcpExt: A\nTcpExt: 1\nIpExt: InOctets OutOctets\nIpExt: 5 6\n"))
	f.Add([]byte("IpExt: InOctets\nIpExt:\n\n(1)"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = parseStat(text)
		_, _ = bootTime(text)
		_, _ = netstat(text, "IpExt:", "OutOctets")
	})
}

func TestProc(t *testing.T) {
	s, err := parseStat([]byte("1 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 20 18446744073709551615\n"))
	if want := (stat{cpu: 11, start: 99, virtual: 1000, resident: 20}); err != nil || s != want {
		t.Errorf("got %+v, %v, want %+v", s, err, want)
	}
	if _, err := parseStat([]byte("1 (a) S 1 2")); err == nil {
		t.Error("a line without the fields was read")
	}
	if v, ok := netstat([]byte("TcpExt: A\nTcpExt: 1\nIpExt: InOctets OutOctets\nIpExt: 5 6\n"), "IpExt:", "OutOctets"); !ok || v != 6 {
		t.Errorf("OutOctets %v, %v", v, ok)
	}
	if v, ok := bootTime([]byte("cpu 1\nbtime 1795400147\n")); !ok || v != 1795400147 {
		t.Errorf("btime %v, %v", v, ok)
	}
}
