package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"shellagent/examples/prometheus"
)

// A real Prometheus with the shipped configuration and rules scrapes a real
// agent.
func TestPrometheusSeesThatAShellIsOpen(t *testing.T) {
	need(t, "prometheus")
	metrics := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := startHost(t, func(h *host, c object) {
		c["metrics"] = object{"address": metrics}
		c["verifyKeys"] = []any{object{"subject": "alice", "keys": []string{h.publicKey(h.key)}}}
	})
	p := prometheus.Start(t, metrics)
	s := shellScreen(t, h)
	s.remotePrompt()
	p.WaitFiring(t, "ShellOpen", map[string]string{"source": "debug", "subject": "alice"})
	s.line("exit")
	s.see("local$")
	p.WaitQuiet(t, "ShellOpen")

	h.exec(nil, "nothere", "myhost", "--", "true")
	text := scrape(t, metrics)
	for _, want := range []string{
		`shellagent_refusals_total{reason="unknown_source"} 1`,
		`shellagent_sessions_total{source="debug",subject="alice"} 1`,
		`shellagent_session_bytes_total{direction="output",source="debug",subject="alice"}`,
		`shellagent_config_last_reload_successful 1`,
		`shellagent_front_restarts_total 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "127.0.0.1") {
		t.Error("an address is in the metrics")
	}
}

func scrape(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
