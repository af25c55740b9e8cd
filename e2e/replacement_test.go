package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// reloadResult is what "agent reload --json" prints, as far as it is about programs.
type reloadResult struct {
	Program *struct {
		Path, Before, Now, Error string
		TookOver                 bool
		Sessions                 int
	}
	Changes []string
}

func (h *host) reloadJSON(code int, args ...string) (r reloadResult) {
	h.t.Helper()
	got := h.operator(append([]string{"reload", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != code {
		h.t.Fatalf("%+v (%v), want code %d", got, err, code)
	}
	return r
}

// The command does what SIGHUP does, and says what came of it.
func TestReloadCommandReplacesTheProgram(t *testing.T) {
	need(t, "pgrep", "tmux")
	h := upgradable(t, nil)
	s := shellScreen(t, h)
	s.remotePrompt()
	programs := fmt.Sprint(h.children())
	pid := h.cmd.Process.Pid

	if r := h.reloadJSON(0); r.Program != nil {
		t.Errorf("nothing was replaced, and yet: %+v", r.Program)
	}
	h.install(nil)
	if got := h.operator("status"); !strings.Contains(got.stdout, "waits to take over") {
		t.Errorf("%+v", got)
	}
	r := h.reloadJSON(0)
	if p := r.Program; p == nil || !p.TookOver || p.Path != h.program() || p.Sessions != 1 || p.Now == "" || p.Before == "" {
		t.Errorf("%+v", p)
	}
	s.line("clear; echo go''es on")
	s.see("goes on")

	// The same for people.
	h.install(nil)
	if got := h.operator("reload"); got.code != 0 || !strings.Contains(got.stdout, "replaced in place") || !strings.Contains(got.stdout, "1 session open") {
		t.Errorf("%+v", got)
	}

	// One that cannot take over is left alone, and everybody who asks is told why.
	h.install(stand(`echo "agent.json:3: no such setting" >&2; exit 1`))
	if p := h.reloadJSON(1).Program; p == nil || p.TookOver || !strings.Contains(p.Error, "no such setting") {
		t.Errorf("%+v", p)
	}
	if got := h.operator("reload"); got.code != 1 || !strings.Contains(got.stderr, "DID NOT TAKE OVER") || !strings.Contains(got.stderr, "no such setting") {
		t.Errorf("%+v", got)
	}
	if got := h.operator("status"); got.code != 0 || !strings.Contains(got.stdout, "DID NOT TAKE OVER") || !strings.Contains(got.stdout, "no such setting") {
		t.Errorf("%+v", got)
	}
	s.line("clear; echo still go''es on")
	s.see("still goes on")

	// A configuration on trial comes first: the new program would not go back.
	h.install(nil)
	data, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), `"debug": {`, `"debug": {"maxSessions": 7,`, 1)
	if err := os.WriteFile(h.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := h.operator("reload", "--confirm", "1s"); got.code != 1 || !strings.Contains(got.stderr, "ROLLED BACK") || !strings.Contains(got.stderr, "goes on trial first") {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(h.config, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if p := h.reloadJSON(0).Program; p == nil || !p.TookOver {
		t.Errorf("%+v", p)
	}
	if now := fmt.Sprint(h.children()); now != programs || h.cmd.Process.Pid != pid {
		t.Errorf("the programs were %v and are %v", programs, now)
	}
	if n := strings.Count(h.log.String(), tookOver); n != 3 {
		t.Errorf("%d programs took over, want 3", n)
	}
	s.line("exit 7")
	s.see("local$")
}
