package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

func subjects(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("person-%03d", i)
	}
	return all
}

// distinct counts the values of the label subject among live sessions' series.
func distinct(t *testing.T, m *Metrics) map[string]bool {
	t.Helper()
	text, err := m.Text(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if _, rest, ok := strings.Cut(line, `subject="`); ok {
			value, _, _ := strings.Cut(rest, `"`)
			values[value] = true
		}
	}
	return values
}

func TestSubjectsAreBounded(t *testing.T) {
	people := subjects(MaxSubjects + 50)
	m, _ := newMetrics(t, []string{"debug"}, people)
	for i, person := range people {
		m.Observe(opened(fmt.Sprint(i), "debug", person, 1000))
		m.Observe(shell.Event{Kind: shell.EventOutput, Source: "debug", Subject: person, Output: 10})
	}
	labels := distinct(t, m)
	if len(labels) != MaxSubjects+1 || !labels[Other] {
		t.Errorf("%d subjects, want %d and %q", len(labels), MaxSubjects, Other)
	}
	wants(t, m, []string{"shellagent_sessions_active", "shellagent_session_bytes_total"}, func() string {
		var b strings.Builder
		line := func(person string, n, bytes int) {
			fmt.Fprintf(&b, "shellagent_sessions_active{source=\"debug\",subject=%q} %d\n", person, n)
			fmt.Fprintf(&b, "shellagent_session_bytes_total{direction=\"input\",source=\"debug\",subject=%q} 0\n", person)
			fmt.Fprintf(&b, "shellagent_session_bytes_total{direction=\"output\",source=\"debug\",subject=%q} %d\n", person, bytes)
		}
		for _, person := range people[:MaxSubjects] {
			line(person, 1, 10)
		}
		line(Other, 50, 500)
		return b.String()
	}())
}

func TestNamesThatNobodyConfigured(t *testing.T) {
	m, _ := newMetrics(t, []string{"debug"}, []string{"alice", "\xff"})
	for i := range 1000 {
		m.Observe(shell.Event{Kind: shell.EventStdin, Source: fmt.Sprint("source", i), Subject: fmt.Sprint("person", i), Input: 1})
	}
	m.Observe(shell.Event{Kind: shell.EventStdin, Source: "debug", Subject: "\xff", Input: 1})
	if n := len(m.series); n != 2 {
		t.Errorf("%d series are held for names nobody configured, want 2", n)
	}
	wants(t, m, []string{"shellagent_session_bytes_total"}, `
		shellagent_session_bytes_total{direction="input",source="other",subject="other"} 1000
		shellagent_session_bytes_total{direction="output",source="other",subject="other"} 0
		shellagent_session_bytes_total{direction="input",source="debug",subject="other"} 1
		shellagent_session_bytes_total{direction="output",source="debug",subject="other"} 0`)
}

// What is no longer configured is counted where it was until its sessions have
// ended, and then makes room.
func TestConfigureForgets(t *testing.T) {
	people := subjects(MaxSubjects)
	m, _ := newMetrics(t, []string{"debug", "old"}, people)
	for i, person := range people {
		m.Observe(opened(fmt.Sprint(i), "debug", person, 1000))
	}
	m.Observe(opened("old", "old", people[0], 1000))
	m.Observe(ended("1", "debug", people[1], time.Second))

	m.Configure([]string{"debug"}, append([]string{"zoe", "yann"}, people[2:]...))
	active := []string{"shellagent_sessions_active"}
	if labels := distinct(t, m); !labels[people[0]] || labels[people[1]] {
		t.Errorf("the label of a live session is kept: %v, of none dropped: %v", labels[people[0]], !labels[people[1]])
	}
	m.Observe(opened("z", "debug", "zoe", 1000))
	m.Observe(opened("y", "debug", "yann", 1000))
	if labels := distinct(t, m); !labels["zoe"] || labels["yann"] {
		t.Error("one place was free: zoe's, not yann's")
	}

	m.Observe(ended("0", "debug", people[0], time.Second))
	if labels := distinct(t, m); !labels[people[0]] {
		t.Error("a subject lost its label while a session in another source lives")
	}
	m.Observe(ended("old", "old", people[0], time.Second))
	if text, _ := m.Text(t.Context()); strings.Contains(string(text), `source="old"`) || strings.Contains(string(text), people[0]) {
		t.Error("a source and subject that are gone are still told")
	}
	for i, person := range people[2:] {
		m.Observe(ended(fmt.Sprint(i+2), "debug", person, time.Second))
	}
	m.Configure([]string{"debug"}, []string{"yann"})
	m.Observe(opened("y2", "debug", "yann", 1000))
	wants(t, m, active, `
		shellagent_sessions_active{source="debug",subject="other"} 1
		shellagent_sessions_active{source="debug",subject="zoe"} 1
		shellagent_sessions_active{source="debug",subject="yann"} 1`)
}

var hot = []shell.Event{
	{Kind: shell.EventStdin, Source: "debug", Subject: "alice", Input: 1, Duration: 120 * time.Microsecond},
	{Kind: shell.EventOutput, Source: "debug", Subject: "alice", Output: 4096},
	{Kind: shell.EventOutput, Source: "debug", Subject: "beyond the bound", Output: 4096},
	{Kind: shell.EventRefused, Reason: shell.ReasonSignature, Count: 1},
}

func hotMetrics(t testing.TB) *Metrics {
	people := append(subjects(MaxSubjects-1), "alice", "beyond the bound")
	m, _ := newMetrics(t, []string{"debug"}, people)
	for i, person := range people {
		m.Observe(opened(fmt.Sprint(i), "debug", person, 1000))
	}
	return m
}

func TestHotPathAllocatesNothing(t *testing.T) {
	m := hotMetrics(t)
	for _, e := range hot {
		if n := testing.AllocsPerRun(1000, func() { m.Observe(e) }); n != 0 {
			t.Errorf("kind %d, subject %q: %v allocations, want none", e.Kind, e.Subject, n)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	m := hotMetrics(b)
	for i, name := range []string{"stdin", "output", "output-other", "refused"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Observe(hot[i])
			}
		})
	}
	b.Run("output-parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.Observe(hot[1])
			}
		})
	})
}

func BenchmarkText(b *testing.B) {
	m := hotMetrics(b)
	for i := range 2000 {
		m.Observe(opened(fmt.Sprint("more", i), "debug", "alice", 1000))
	}
	for b.Loop() {
		if _, err := m.Text(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
