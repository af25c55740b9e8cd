package grafana

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// Span is a stretch of time and how far apart its points are.
type Span struct {
	From, To time.Time
	Step     time.Duration
}

// Series is one line of a plot. Points that are no number are left out.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Point is a value at a moment, in seconds since the epoch.
type Point struct{ At, Value float64 }

// Ask evaluates an expression over a span on the Prometheus with that base URL
// (without a slash at its end). Without data it returns no series and no error.
func Ask(ctx context.Context, base, expr string, over Span) ([]Series, error) {
	form := url.Values{
		"query": {expr},
		"start": {moment(over.From)},
		"end":   {moment(over.To)},
		"step":  {strconv.FormatFloat(over.Step.Seconds(), 'f', 3, 64)},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/query_range?"+form.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("address of prometheus: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask prometheus: %w", err)
	}
	defer res.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("answer of prometheus (%s): %w", res.Status, err)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("prometheus refuses %s: %s", expr, answer.Error)
	}
	var all []Series
	for _, r := range answer.Data.Result {
		s := Series{Labels: r.Metric}
		for _, pair := range r.Values {
			at, _ := pair[0].(float64)
			text, _ := pair[1].(string)
			if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
				s.Points = append(s.Points, Point{at, v})
			}
		}
		all = append(all, s)
	}
	return all, nil
}

func moment(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
