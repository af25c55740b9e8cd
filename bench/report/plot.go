package report

import (
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"text/tabwriter"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"shellagent/bench/measure"
)

// Scale is what a server costs with more and more sessions.
type Scale struct {
	Machine Machine         `json:"machine"`
	Points  []measure.Point `json:"points"`
}

// WriteJSON writes all points.
func (s *Scale) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

// WriteTable writes a row a point.
func (s *Scale) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "idle sessions\tmemory, MiB\tidle, % of a CPU\techo p50, ms\tCPU µs a key\tdown, MB/s\tCPU ms a MB\t")
	for _, p := range s.Points {
		fmt.Fprintf(table, "%d\t%.1f\t%.1f\t%.2f\t%.0f\t%.0f\t%.2f\t\n",
			p.Sessions, p.MemoryMiB, p.IdlePercent, p.KeyMs, p.KeyMicroseconds, p.MBPerSecond, p.MBMilliseconds)
	}
	return table.Flush()
}

// panel is one of the curves.
type panel struct {
	title, unit string
	value       func(measure.Point) float64
}

var panels = []panel{
	{"memory of the agent", "MiB", func(p measure.Point) float64 { return p.MemoryMiB }},
	{"its CPU for a keystroke", "µs", func(p measure.Point) float64 { return p.KeyMicroseconds }},
	{"its CPU for 1 MB of output", "ms", func(p measure.Point) float64 { return p.MBMilliseconds }},
}

// WriteSVG draws memory, the cost of a keystroke and that of a megabyte, side by
// side, over the number of sessions on a logarithmic axis.
func (s *Scale) WriteSVG(w io.Writer) error {
	const width, height, margin = 8 * vg.Centimeter, 6 * vg.Centimeter, vg.Centimeter / 4
	canvas := vgsvg.New(width*vg.Length(len(panels)), height)
	// Without a background, a dark page would swallow it.
	draw.New(canvas).SetColor(color.White)
	canvas.Fill(vg.Rectangle{Max: vg.Point{X: width * vg.Length(len(panels)), Y: height}}.Path())
	for i, panel := range panels {
		drawn, err := s.plot(panel)
		if err != nil {
			return fmt.Errorf("draw %s: %w", panel.title, err)
		}
		left := width * vg.Length(i)
		drawn.Draw(draw.Canvas{Canvas: canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: left + margin, Y: margin}, Max: vg.Point{X: left + width - margin, Y: height - margin},
		}})
	}
	_, err := canvas.WriteTo(w)
	return err
}

func (s *Scale) plot(what panel) (*plot.Plot, error) {
	points := make(plotter.XYs, len(s.Points))
	highest := 0.0
	for i, p := range s.Points {
		points[i] = plotter.XY{X: float64(p.Sessions), Y: what.value(p)}
		highest = max(highest, points[i].Y)
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return nil, err
	}
	drawn := plot.New()
	drawn.Title.Text = what.title
	drawn.X.Label.Text, drawn.Y.Label.Text = "idle sessions", what.unit
	drawn.X.Scale, drawn.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	drawn.Y.Min, drawn.Y.Max = 0, highest*1.2
	drawn.Add(plotter.NewGrid(), line, dots)
	drawn.Y.Min = 0 // a curve that is flat shall look so
	return drawn, nil
}
