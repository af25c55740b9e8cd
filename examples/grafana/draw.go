package grafana

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Plot is a panel and what its queries found.
type Plot struct {
	Title, Unit string
	Lines       []Line
}

// Line is a named series.
type Line struct {
	Name   string
	Points []Point
}

// Measures of the picture, in pixels.
const (
	columns      = 3
	plotWidth    = 360
	plotHeight   = 190
	left, right  = 62, 14
	top, bottom  = 30, 44
	legendLength = 68 // characters
)

var colours = []string{"#2f7ed8", "#d9822b", "#3d9970", "#b10dc9", "#c23531", "#7f8c8d", "#111111", "#00a2a2"}

// Draw writes an SVG picture of all plots, in columns, each over the whole span
// and from 0 up.
func Draw(w io.Writer, plots []Plot, over Span) error {
	rows := (len(plots) + columns - 1) / columns
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="10">`+"\n", columns*plotWidth, rows*plotHeight)
	// Without a background, a dark page would swallow it.
	svg.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	for i, p := range plots {
		fmt.Fprintf(&svg, `<g transform="translate(%d,%d)">`+"\n", i%columns*plotWidth, i/columns*plotHeight)
		p.draw(&svg, over)
		svg.WriteString("</g>\n")
	}
	svg.WriteString("</svg>\n")
	_, err := io.WriteString(w, svg.String())
	return err
}

func (p Plot) draw(svg *strings.Builder, over Span) {
	const width, height = plotWidth - left - right, plotHeight - top - bottom
	text(svg, left, top-12, "start", `font-size="12" font-weight="bold"`, p.Title)
	highest := p.highest()
	for _, part := range []float64{0, 0.5, 1} {
		y := top + height*(1-part)
		fmt.Fprintf(svg, `<path d="M%d %.1fh%d" stroke="#dddddd"/>`, left, y, width)
		text(svg, left-6, y+3, "end", "", value(highest*part, p.Unit))
	}
	from, long := float64(over.From.UnixMilli())/1000, over.To.Sub(over.From).Seconds()
	text(svg, left, top+height+14, "start", "", "0 s")
	text(svg, left+width, top+height+14, "end", "", fmt.Sprintf("%.0f s", long))
	for i, l := range p.Lines {
		var path strings.Builder
		before := math.Inf(-1)
		for _, at := range l.Points {
			op := "L"
			if at.At-before > 1.5*over.Step.Seconds() { // a gap
				op = "M"
			}
			before = at.At
			fmt.Fprintf(&path, "%s%.1f %.1f", op, left+width*(at.At-from)/long, top+height*(1-at.Value/highest))
		}
		fmt.Fprintf(svg, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5" stroke-linecap="round"/>`+"\n", path.String(), colours[i%len(colours)])
	}
	p.legend(svg, left, top+height+30)
}

func (p Plot) legend(svg *strings.Builder, x, y float64) {
	fmt.Fprintf(svg, `<text x="%.1f" y="%.1f" font-size="9">`, x, y)
	length := 0
	for i, l := range p.Lines {
		if length += len(l.Name) + 3; length > legendLength {
			fmt.Fprintf(svg, `<tspan dx="8" fill="#555555">and %d more</tspan>`, len(p.Lines)-i)
			break
		}
		fmt.Fprintf(svg, `<tspan dx="%d" fill="%s">● %s</tspan>`, min(i, 1)*8, colours[i%len(colours)], html.EscapeString(l.Name))
	}
	if len(p.Lines) == 0 {
		svg.WriteString(`<tspan fill="#555555">none</tspan>`)
	}
	svg.WriteString("</text>\n")
}

// highest is the largest value, rounded up so that its axis is easily read.
func (p Plot) highest() float64 {
	most := 0.0
	for _, l := range p.Lines {
		for _, at := range l.Points {
			most = max(most, at.Value)
		}
	}
	if most <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(most)))
	for _, times := range []float64{1, 2, 4, 6, 8} {
		if most <= times*unit {
			return times * unit
		}
	}
	return 10 * unit
}

func text(svg *strings.Builder, x, y float64, anchor, more, s string) {
	fmt.Fprintf(svg, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="#333333" %s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(s))
}

// value writes a number with the unit that Grafana calls so.
func value(v float64, unit string) string {
	short := func(v float64) string { return fmt.Sprintf("%.3g", v) }
	switch unit {
	case "s":
		if v > 0 && v < 1 {
			return short(v*1000) + " ms"
		}
		return short(v) + " s"
	case "bytes", "Bps":
		of, suffix := "B", ""
		for _, larger := range []string{"kB", "MB", "GB"} {
			if v < 1000 {
				break
			}
			v, of = v/1000, larger
		}
		if unit == "Bps" {
			suffix = "/s"
		}
		return short(v) + " " + of + suffix
	}
	return short(v)
}
