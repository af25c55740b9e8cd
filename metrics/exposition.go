package metrics

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// What follows is Prometheus' text format, version 0.0.4, as its own library for
// Go writes it, which the tests hold it against. That library takes a millisecond of
// every process that links it, at its start, and a client that calls for one command
// is such a process.

// kind is what a family of samples is, as its TYPE line says.
type kind string

const (
	kindCounter   kind = "counter"
	kindGauge     kind = "gauge"
	kindHistogram kind = "histogram"
	kindSummary   kind = "summary"
)

// family is one metric with all its samples.
type family struct {
	name, help string
	kind       kind
	// labels are the names of every sample's labels, sorted, but for le and quantile.
	labels []string
}

// ours is a family of this program's own.
func ours(kind kind, name, help string, labels ...string) *family {
	return &family{name: namespace + "_" + name, help: help, kind: kind, labels: labels}
}

// sample is one line.
type sample struct {
	// suffix follows the family's name: _bucket, _sum or _count.
	suffix string
	// values are those of the family's labels.
	values []string
	// extra is the name of one more label, le or quantile, and at its value.
	extra string
	at    float64
	value float64
}

// scrape collects samples by family. Its zero value is ready.
type scrape struct{ told map[*family][]sample }

func (s *scrape) add(f *family, samples ...sample) {
	if s.told == nil {
		s.told = make(map[*family][]sample)
	}
	s.told[f] = append(s.told[f], samples...)
}

// one adds a sample of a counter or a gauge.
func (s *scrape) one(f *family, value float64, labels ...string) {
	s.add(f, sample{values: labels, value: value})
}

// text returns everything that was added, families by name and their samples by
// their labels. A histogram's or a summary's samples stay in their order.
func (s *scrape) text() []byte {
	families := make([]*family, 0, len(s.told))
	for f := range s.told {
		families = append(families, f)
	}
	slices.SortFunc(families, func(a, b *family) int { return cmp.Compare(a.name, b.name) })
	var out bytes.Buffer
	for _, f := range families {
		samples := s.told[f]
		slices.SortStableFunc(samples, func(a, b sample) int { return slices.Compare(a.values, b.values) })
		f.head(&out)
		for i := range samples {
			f.line(&out, &samples[i])
		}
	}
	return out.Bytes()
}

func (f *family) head(out *bytes.Buffer) {
	out.WriteString("# HELP " + f.name + " " + helpEscapes.Replace(f.help) + "\n")
	out.WriteString("# TYPE " + f.name + " " + string(f.kind) + "\n")
}

func (f *family) line(out *bytes.Buffer, s *sample) {
	out.WriteString(f.name)
	out.WriteString(s.suffix)
	before := byte('{')
	label := func(name, value string) {
		out.WriteByte(before)
		before = ','
		out.WriteString(name)
		out.WriteString(`="`)
		out.WriteString(value)
		out.WriteByte('"')
	}
	for i, name := range f.labels {
		label(name, labelEscapes.Replace(s.values[i]))
	}
	if s.extra != "" {
		label(s.extra, number(s.at))
	}
	if before == ',' {
		out.WriteByte('}')
	}
	out.WriteByte(' ')
	out.WriteString(number(s.value))
	out.WriteByte('\n')
}

var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// number is a value as the format has it.
func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
