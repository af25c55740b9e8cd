// Package grafana is an example for operators: a Grafana dashboard for the
// metrics of agents. The Go code asks a Prometheus the dashboard's queries and
// draws what it answers, for tests and for docs/dashboard.svg; no binary links it.
package grafana

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

//go:embed dashboard.json
var dashboard []byte

// Panel is one plot of the dashboard.
type Panel struct {
	// Row is the heading above it, Unit the name of its unit as Grafana has it.
	Row, Title, Unit string
	Queries          []Query
}

// Query is one PromQL expression of a panel, with Grafana's variables in it.
type Query struct {
	Expr string `json:"expr"`
	// Legend names each series: text with {{label}} in it.
	Legend string `json:"legendFormat"`
}

// Panels returns the panels of dashboard.json in its order.
func Panels() ([]Panel, error) {
	var file struct {
		Panels []struct {
			Type, Title string
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []Query
		}
	}
	if err := json.Unmarshal(dashboard, &file); err != nil {
		return nil, fmt.Errorf("dashboard.json: %w", err)
	}
	var panels []Panel
	row := ""
	for _, p := range file.Panels {
		if p.Type == "row" {
			row = p.Title
			continue
		}
		panels = append(panels, Panel{Row: row, Title: p.Title, Unit: p.FieldConfig.Defaults.Unit, Queries: p.Targets})
	}
	return panels, nil
}

// Expand returns the expression as Grafana sends it for all agents, with rates
// over so long a window, at least a second of it.
func (q Query) Expand(window time.Duration) string {
	return strings.NewReplacer(
		"$__rate_interval", fmt.Sprintf("%ds", max(int(window.Seconds()), 1)),
		"$instance", ".+",
	).Replace(q.Expr)
}

var inLegend = regexp.MustCompile(`\{\{(\w+)\}\}`)

// Name returns the name of a series with these labels.
func (q Query) Name(labels map[string]string) string {
	return strings.TrimSpace(inLegend.ReplaceAllStringFunc(q.Legend, func(field string) string {
		return labels[inLegend.FindStringSubmatch(field)[1]]
	}))
}
