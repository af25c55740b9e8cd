package e2e

import (
	"slices"
	"strings"
	"testing"
)

// Input for a session that has ended, or never was, is an answer and nothing
// else: no program is started for it, and the program of nobody else sees it.
func TestLateInputStartsNothing(t *testing.T) {
	need(t, "pgrep")
	h := startHost(t, nil)
	a := newAttacker(t, h, "127.0.0.1")
	alice := loadKey(t, h.key)
	live := a.mustStart("debug", alice, `{"argv":["cat"]}`)
	var typed uint64
	if err := live.echoes("before\n", &typed); err != nil {
		t.Fatal(err)
	}
	over := a.mustStart("debug", alice, `{"argv":["true"]}`)
	if _, err := over.exit(); err != nil {
		t.Fatal(err)
	}
	h.waitFor("its program to be gone", func() bool { return len(h.children()) == 1 })
	programs, opened := h.children(), strings.Count(h.log.String(), "session opened")

	never := &session{a: a, key: newKey(t)}
	never.id = never.key.PublicKey().Thumbprint()
	for name, c := range map[string]struct {
		s     *session
		codes []string
	}{
		"a session that has ended":   {over, []string{"session_ended"}},
		"a session that never was":   {never, []string{"session_not_found", "unauthorized"}},
		"its key, another's session": {&session{a: a, key: over.key, id: live.id, counter: 50}, []string{"session_not_found"}},
	} {
		requests := []request{c.s.stdin(0, "touch /tmp/e2e-late\n"), c.s.control(`{"seq":1,"signal":{"name":"KILL"}}`)}
		if c.s != over { // which still has its exit to tell
			requests = append(requests, c.s.signed(request{method: "GET", target: c.s.target("stream?from=0")}))
		}
		for _, r := range requests {
			if got := a.raw(r.String()); got.err != nil || !slices.Contains(c.codes, got.code) {
				t.Errorf("%s, %s: %v", name, r.target, got)
			}
		}
	}
	if got := a.raw(live.stdin(typed, "after\n").String()); got.status != 200 {
		t.Fatal(got)
	}
	if text, err := live.output("after\n"); err != nil || text != "after\n" {
		t.Errorf("the live program read %q, %v", text, err)
	}
	if now := h.children(); !slices.Equal(now, programs) {
		t.Errorf("the programs were %v and are %v", programs, now)
	}
	if n := strings.Count(h.log.String(), "session opened"); n != opened {
		t.Errorf("%d sessions were opened by it", n-opened)
	}
}
