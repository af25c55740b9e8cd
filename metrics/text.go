package metrics

import (
	"bytes"
	"context"
	"fmt"

	"github.com/prometheus/common/expfmt"
)

var textFormat = expfmt.NewFormat(expfmt.TypeTextPlain)

// Text returns every metric in the Prometheus text format, version 0.0.4.
func (m *Metrics) Text(context.Context) ([]byte, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var text bytes.Buffer
	encode := expfmt.NewEncoder(&text, textFormat)
	for _, family := range families {
		if err := encode.Encode(family); err != nil {
			return nil, fmt.Errorf("encode metric %s: %w", family.GetName(), err)
		}
	}
	return text.Bytes(), nil
}
