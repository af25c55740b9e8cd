package broker

import (
	"strings"
	"testing"

	"shellagent/shell"
)

// What is taken for a request line has one reading: its own characters, a name
// of the right form, nothing that a proxy might rewrite.
func FuzzRoute(f *testing.F) {
	id := strings.Repeat("A", sessionIDSize)
	for _, target := range []string{
		"/v1/shell/debug", "/v1/confirm/a.b", "/v1/sessions", "/v1/sessions/" + id, "/v1/sessions/" + id + "/attach",
		"/v1/sessions/" + id + "/stream?from=18446744073709551615", "/v1/sessions/" + id + "/stdin", "/v1/sessions/" + id + "/control",
		"/v1/shell/..", "/v1/shell/%64ebug", "//v1/sessions", "/v1/sessions?from=1", "/v1/sessions/" + id + "/stream?from=01",
	} {
		f.Add("GET", target)
		f.Add("POST", target)
		f.Add("DELETE", target)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		r, denied := parseRoute(method, target)
		if denied != nil {
			if row := denied.Reason.Refusal(); row.Reason != shell.ReasonRoute && row.Reason != shell.ReasonMethod {
				t.Errorf("%s %q is refused as %s", method, target, row.Reason)
			}
			return
		}
		if r.action == 0 || !strings.HasPrefix(target, "/v1/") || r.name != "" && !strings.Contains(target, "/"+r.name) {
			t.Errorf("%s %q is %+v", method, target, r)
		}
		if strings.Trim(target, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/?=") != "" ||
			strings.Contains(target, "//") || strings.Contains(target, "/../") || strings.HasSuffix(target, "/..") {
			t.Errorf("%s %q has another reading", method, target)
		}
		if r.identity() == (strings.Contains(target, "/stream") || strings.HasSuffix(target, "/stdin") || strings.HasSuffix(target, "/control")) && r.action != actOpen && r.action != actConfirm {
			t.Errorf("%s %q takes the wrong kind of token", method, target)
		}
	})
}

// A control request that is taken says exactly what its bytes say, once.
func FuzzControlRequest(f *testing.F) {
	for _, body := range []string{
		`{"seq":1,"resize":{"cols":80,"rows":24}}`, `{"seq":2,"signal":{"name":"INT","after":7},"ack":9}`, `{"seq":3,"close":true}`,
		`{"seq":18446744073709551615,"detach":true}`, `{"seq":1,"seq":2}`, `{"SEQ":1}`, `{"seq":1,"resize":{"cols":65536}}`, `null`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c shell.ControlRequest
		if decode(body, &c) != nil || c.Validate() != nil {
			return
		}
		text, err := marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again shell.ControlRequest
		if err := decode(text, &again); err != nil || again.Validate() != nil {
			t.Errorf("%s became %s: %v", body, text, err)
		}
		if c.Seq == 0 || c.Resize != nil && (c.Resize.Cols > shell.MaxWinsize || c.Resize.Rows > shell.MaxWinsize) {
			t.Errorf("%s was taken: %+v", body, c)
		}
	})
}
