package metrics

import "context"

// collector adds what it knows to a scrape. It is called from several goroutines.
type collector interface{ collect(*scrape) }

// Text returns every metric in the Prometheus text format, version 0.0.4. The error
// is nil.
func (m *Metrics) Text(context.Context) ([]byte, error) {
	var s scrape
	for _, c := range m.all {
		c.collect(&s)
	}
	return s.text(), nil
}
