package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// withoutLinger ends sessions with their connection.
func withoutLinger(h *host, c object) {
	source := h.debugSource()
	source["linger"] = "0s"
	c["sources"] = object{"debug": source}
}

// A front that dies is not the client's good-bye: a session without linger waits
// for its client, which has to come back. A client that is killed ends it.
func TestFrontDiesWithoutLinger(t *testing.T) {
	t.Parallel() // it mostly waits
	need(t, "pgrep", "tmux")
	h := startHost(t, withoutLinger)
	s := shellScreen(t, h)
	s.remotePrompt()
	client := startedClient(t, h, "sleep 300")
	h.waitFor("two sessions", func() bool { return len(h.children()) == 2 })
	programs := h.children()
	// Each is started later than the one before: the last after more than 3 s.
	for old := 0; strings.Count(h.log.String(), "front ended") < 7; {
		h.waitFor("another front", func() bool { pid := h.frontPID(); return pid != 0 && pid != old })
		old = h.frontPID()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.waitFor("its end", func() bool { return h.frontPID() != old })
	}
	s.line("clear; echo still he''re")
	s.see("still here")
	h.waitFor("both clients", func() bool {
		return strings.Count(h.runClient(nil, "sessions", "--accept-new", "myhost").stdout, " attached") == 2
	})
	if now := h.children(); len(now) != 2 || now[0] != programs[0] || now[1] != programs[1] {
		t.Fatalf("the programs were %v and are %v; agent's log:\n%s", programs, now, tail(h.log.String(), 4000))
	}
	if err := client.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.waitFor("the session of the killed client to end", func() bool {
		return strings.Contains(h.log.String(), "nobody came back to it")
	})
	s.line("clear; echo the oth''er lives")
	s.see("the other lives")
}

// Who was held back before an upgrade is held back after it.
func TestUpgradeForgivesNobody(t *testing.T) {
	h := upgradable(t, nil)
	a := newAttacker(t, h, "127.0.7.2")
	limited := func() bool { return a.raw(a.list(newKey(t)).String()).code == "rate_limited" }
	n := 0
	for n < 30 && !limited() {
		n++
	}
	if n < 10 || n == 30 {
		t.Fatalf("held back after %d refusals", n)
	}
	h.install(nil)
	h.reload(tookOver)
	if !limited() {
		t.Error("the upgrade let an address off")
	}
}
