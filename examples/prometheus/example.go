// Package prometheus is an example for operators: a Prometheus configuration
// and alert rules for agents. The Go code runs a real Prometheus with them in
// tests; no binary links it.
package prometheus

import (
	_ "embed"
	"fmt"
	"strings"
	"time"
)

//go:embed prometheus.yml
var config string

//go:embed rules.yml
var rules string

// Config returns the example's prometheus.yml with another target (host:port)
// and other intervals, and otherwise word for word.
func Config(target string, interval time.Duration) (string, error) {
	changed := config
	for _, change := range []struct{ from, to string }{
		{`["127.0.0.1:9464"]`, fmt.Sprintf("[%q]", target)},
		{"scrape_interval: 15s", fmt.Sprintf("scrape_interval: %dms", interval.Milliseconds())},
		{"evaluation_interval: 15s", fmt.Sprintf("evaluation_interval: %dms", interval.Milliseconds())},
	} {
		if strings.Count(changed, change.from) != 1 {
			return "", fmt.Errorf("prometheus.yml: want %q exactly once", change.from)
		}
		changed = strings.Replace(changed, change.from, change.to, 1)
	}
	return changed, nil
}
