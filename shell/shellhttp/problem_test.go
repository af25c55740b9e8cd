package shellhttp

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"shellagent/shell"
)

// Every row of the table, through the handler and back through the client's
// parser.
func TestEveryRefusalTravels(t *testing.T) {
	for _, row := range shell.Refusals() {
		t.Run(string(row.Reason), func(t *testing.T) {
			b := newTestBroker(t, nil)
			next := uint64(7)
			b.before = func(*shell.Call) (*shell.Reply, error) {
				reply := problemOf(shell.Deny(row.Reason, nil))
				reply.Nonce, reply.Body = "n0nce", []byte(`{"next":7,"status":200,"code":"forged"}`)
				return reply, nil
			}
			r := httptest.NewRequest("GET", "/v1/sessions", nil)
			r.Header.Set("Authorization", "Bearer abc")
			w := httptest.NewRecorder()
			NewHandler(HandlerConfig{Caller: b}).ServeHTTP(w, r)

			got := parseProblem(w.Code, w.Header(), w.Body.Bytes())
			want := &Problem{
				Type: "about:blank", Title: http.StatusText(row.Status), Status: row.Status,
				Code: row.Code, Detail: row.Text, Next: &next, nonce: "n0nce",
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			h := w.Header()
			if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Length") == "" {
				t.Errorf("headers %v", h)
			}
			if (row.Status == 401) != (h.Get("WWW-Authenticate") == "Bearer") {
				t.Errorf("WWW-Authenticate %q with %d", h.Get("WWW-Authenticate"), row.Status)
			}
			if row.Status == 401 && h.Get("Connection") != "close" {
				t.Error("a refusal before a verified token keeps its connection")
			}
		})
	}
}

func TestAfterTokenNamesRealCodes(t *testing.T) {
	codes := map[string]bool{}
	for _, row := range shell.Refusals() {
		codes[row.Code] = true
	}
	for code := range afterToken {
		if !codes[code] {
			t.Errorf("%q is no code", code)
		}
	}
}

// What is refused for what the source says of a session was believed before.
func TestRefusedSessionsKeepTheirConnection(t *testing.T) {
	for _, reason := range []shell.Reason{
		shell.ReasonUser, shell.ReasonLookup, shell.ReasonShell, shell.ReasonAction, shell.ReasonCommand,
		shell.ReasonMaxSessions, shell.ReasonNoTrial, shell.ReasonRecording, shell.ReasonStart,
	} {
		w := httptest.NewRecorder()
		if err := writeProblem(w, problemOf(&shell.Denied{Reason: reason})); err != nil {
			t.Fatal(err)
		}
		if w.Header().Get("Connection") != "" {
			t.Errorf("%s closes its connection", reason)
		}
	}
}

func TestParseProblemOfOthers(t *testing.T) {
	for _, c := range []struct{ mediaType, text string }{
		{"text/html", "<h1>502 Bad Gateway</h1>"},
		{"application/problem+json", `{"code":"x"`},
		{"application/problem+json", `{"title":"no code"}`},
		{"application/json", `{"code":"x","detail":"not a problem"}`},
	} {
		p := parseProblem(502, http.Header{"Content-Type": {c.mediaType}}, []byte(c.text))
		if p.Code != "http_502" || !strings.Contains(p.Error(), "proxy") {
			t.Errorf("%q: %v", c.text, p)
		}
	}
}

func TestProblemsCannotMoveTheTerminal(t *testing.T) {
	text, err := json.Marshal(map[string]any{"code": "c\x1b[2J", "detail": "a\r\nb\x1b]0;x\x07\u202ec\u009bd é"})
	if err != nil {
		t.Fatal(err)
	}
	p := parseProblem(400, http.Header{"Content-Type": {typeProblem + "; charset=utf-8"}}, text)
	if p.Code != "c[2J" || p.Detail != "ab]0;xcd é" {
		t.Errorf("%q %q", p.Code, p.Detail)
	}
}
