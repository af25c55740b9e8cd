package e2e

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"shellagent/shell"
)

// endlessInput is what is typed into programs that do not wait for it.
type endlessInput struct{}

func (endlessInput) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'y'
	}
	return len(p), nil
}

// A program that ends while there is input for it ends in the ordinary way: for
// its client, in the log, and in the metrics.
func TestProgramThatEndsBeforeItsInput(t *testing.T) {
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := startHost(t, func(h *host, c object) { c["metrics"] = object{"address": metrics} })
	for range 8 {
		r, w := io.Pipe()
		go func() { _, _ = io.Copy(w, endlessInput{}) }()
		if got := h.exec(r, "debug", "myhost", "--", "sh", "-c", "head -c 100000 >/dev/null; exit 3"); got.code != 3 {
			t.Errorf("%+v", got)
		}
		r.Close()
	}
	if log := h.log.String(); strings.Contains(log, "refused") {
		t.Errorf("it is logged like an attack:\n%s", log)
	}
	for _, reason := range []shell.Reason{shell.ReasonSessionEnded, shell.ReasonSessionUnknown} {
		if n := refusals(scrape(t, metrics), reason); n != 0 {
			t.Errorf("%d of %s were counted", n, reason)
		}
	}
}
