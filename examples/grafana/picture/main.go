// Command picture asks a Prometheus every query of the dashboard and draws the
// answers. "make dashboard-picture" runs it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"shellagent/examples/grafana"
)

func main() {
	base := flag.String("prometheus", "http://127.0.0.1:9090", "base URL of the Prometheus")
	last := flag.Duration("last", time.Minute, "how long a time is drawn, up to now")
	step := flag.Duration("step", time.Second, "how far apart points are")
	window := flag.Duration("window", 5*time.Second, "over how long rates are taken")
	out := flag.String("o", "dashboard.svg", "the picture's file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	now := time.Now()
	if err := draw(ctx, *base, grafana.Span{From: now.Add(-*last), To: now, Step: *step}, *window, *out); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func draw(ctx context.Context, base string, over grafana.Span, window time.Duration, out string) error {
	panels, err := grafana.Panels()
	if err != nil {
		return err
	}
	var plots []grafana.Plot
	for _, panel := range panels {
		plot := grafana.Plot{Title: panel.Title, Unit: panel.Unit}
		for _, query := range panel.Queries {
			found, err := grafana.Ask(ctx, base, query.Expand(window), over)
			if err != nil {
				return fmt.Errorf("panel %q: %w", panel.Title, err)
			}
			for _, s := range found {
				plot.Lines = append(plot.Lines, grafana.Line{Name: query.Name(s.Labels), Points: s.Points})
			}
		}
		plots = append(plots, plot)
	}
	var picture bytes.Buffer
	if err := grafana.Draw(&picture, plots, over); err != nil {
		return err
	}
	return os.WriteFile(out, picture.Bytes(), 0o644)
}
