package agent

import (
	"cmp"
	"fmt"
	"io"

	"shellagent/audit"
)

// auditSummary is what a configuration says of the trail.
type auditSummary struct {
	On       bool          `json:"on"`
	Dir      string        `json:"dir,omitempty"`
	MaxBytes int64         `json:"maxBytes,omitempty"`
	Keep     int           `json:"keep,omitempty"`
	WhenFull string        `json:"whenFull,omitempty"`
	Sinks    []sinkSummary `json:"sinks,omitempty"`
}

// sinkSummary names a sink, without what proves to it who sends.
type sinkSummary struct {
	Name string `json:"name"`
	Type string `json:"type"`
	To   string `json:"to"`
}

func (l *loaded) auditSummary() auditSummary {
	if !l.keepsTrail() {
		return auditSummary{}
	}
	s := &l.Audit
	sum := auditSummary{
		On: true, Dir: s.Dir, MaxBytes: cmp.Or(s.MaxBytes, audit.DefaultMaxFile), Keep: cmp.Or(s.Keep, audit.DefaultKeep),
		WhenFull: cmp.Or(s.WhenFull, "drop"),
	}
	for _, c := range s.Sinks {
		sum.Sinks = append(sum.Sinks, sinkSummary{c.Name, c.Type, cmp.Or(c.Path, c.Address, c.URL)})
	}
	return sum
}

func printAudit(out io.Writer, s auditSummary) {
	if !s.On {
		fmt.Fprintln(out, "no audit trail")
		return
	}
	full := "the oldest lines go"
	if s.WhenFull == "refuse" {
		full = "no session begins"
	}
	fmt.Fprintf(out, "audit trail in %s: %d files of %d MiB are kept, and when that is not enough %s\n", s.Dir, s.Keep, s.MaxBytes>>20, full)
	for _, one := range s.Sinks {
		fmt.Fprintf(out, "  also to %s: %s %s\n", one.Name, one.Type, one.To)
	}
}
