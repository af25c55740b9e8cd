package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// outputLine is a line of a drain.
type outputLine struct {
	Event, Session, Stream, Line string
	OperationID                  string            `json:"operation_id"`
	OperationUserName            string            `json:"operation_user_name"`
	OperationUserEmail           string            `json:"operation_user_email"`
	Labels                       map[string]string `json:"labels"`
	Count                        uint64
}

// drained is a host whose debug source sends its output to a file.
func drained(drain any) func(h *host, config object) {
	return func(h *host, config object) {
		config["verifyKeys"] = []object{{"subject": "alice", "keys": []string{h.publicKey(h.key)}}}
		config["audit"] = object{"sinks": []object{{"type": "file", "path": filepath.Join(h.dir, "drain.jsonl")}}}
		debug := config["sources"].(object)["debug"].(object)
		debug["drain"] = drain
		debug["labels"] = object{"email": "alice@example.com", "stage": "test"}
	}
}

func (h *host) drainedLines() (all []outputLine) {
	b, err := os.ReadFile(filepath.Join(h.dir, "drain.jsonl"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		var l outputLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			h.t.Fatalf("%v: %s", err, line)
		}
		if strings.HasPrefix(l.Event, "session.output") || l.Event == "session.gap" {
			all = append(all, l)
		}
	}
	return all
}

func (h *host) awaitDrained(last string) []outputLine {
	h.t.Helper()
	h.waitFor("the line "+last+" in the sink", func() bool {
		all := h.drainedLines()
		return len(all) > 0 && all[len(all)-1].Line == last
	})
	return h.drainedLines()
}

func TestDrainSendsLines(t *testing.T) {
	h := startHost(t, drained(object{"redact": []string{`(?i)password=\S+`}}))
	if r := h.exec(nil, "myhost", "--command", `echo plain; printf '10%%\r100%%\n'; printf '\033[31mred\033[0m\n'; echo "db password=hunter2 ok"; echo oops >&2; sleep 0.2; printf end`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	h.told("session.opened", map[string]any{"subject": "alice", "email": "alice@example.com"})
	all := h.awaitDrained("end")
	var out, errs []string
	for _, l := range all {
		if l.Stream == "stderr" {
			errs = append(errs, l.Line)
		} else {
			out = append(out, l.Line)
		}
		if l.OperationID != l.Session || l.Session == "" || l.OperationUserName != "alice" || l.OperationUserEmail != "alice@example.com" || l.Labels["stage"] != "test" {
			t.Errorf("%+v", l)
		}
	}
	if got := strings.Join(out, "|"); got != "plain|100%|red|db [redacted] ok|end" || strings.Join(errs, "|") != "oops" {
		t.Errorf("%q %q", got, errs)
	}
	// What is typed without echo is not in it: it was never shown.
	term := newScreen(t, h, agentBin, "shell", "-c", h.client, "--accept-new", "myhost")
	term.see("$")
	term.line("read -rsp 'Secret: ' x; echo; echo got ${#x}")
	term.see("Secret:")
	term.line("hunter2secret")
	term.see("got 13")
	term.line("exit")
	h.waitFor("what followed in the sink", func() bool {
		all := h.drainedLines()
		return slices.ContainsFunc(all, func(l outputLine) bool { return l.Line == "got 13" })
	})
	for _, l := range h.drainedLines() {
		if strings.Contains(l.Line, "hunter2") {
			t.Errorf("%+v", l)
		}
	}
	if out := h.run0(agentBin, "verify", "--state-dir", filepath.Join(h.dir, "state"), filepath.Join(h.trailDir(), "output")); !strings.Contains(out, "holds") {
		t.Error(out)
	}
}

// Every line comes once and in order through an upgrade in the middle, and the
// agent's end.
func TestDrainThroughUpgrade(t *testing.T) {
	h := upgradable(t, drained(object{"required": true}))
	const last = 60
	ended := make(chan result)
	go func() {
		ended <- h.exec(nil, "myhost", "--command", "for i in $(seq "+strconv.Itoa(last)+"); do echo $i; sleep 0.05; done")
	}()
	h.waitFor("the first lines", func() bool { return len(h.drainedLines()) > 5 })
	h.install(nil)
	h.reload(tookOver)
	if r := h.endedIn(ended); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	h.stop()
	seen, next := make(map[string]bool), 1
	for _, l := range h.drainedLines() {
		if seen[l.Line] {
			continue // sent again
		}
		seen[l.Line] = true
		if l.Line != strconv.Itoa(next) {
			t.Fatalf("line %q where %d belongs", l.Line, next)
		}
		next++
	}
	if next != last+1 {
		t.Errorf("up to %d of %d", next-1, last)
	}
}
