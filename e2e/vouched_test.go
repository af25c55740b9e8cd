package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

// vouchedHost has a source that no list opens: a command vouches for the user's
// key while there is a file, which is removed to withdraw it.
func vouchedHost(t *testing.T) (h *host, file, metrics string) {
	t.Helper()
	needRoot(t)
	metrics = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h = startHost(t, func(h *host, c object) {
		if err := os.Chmod(h.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(h.dir, "vouches")
		if err := os.WriteFile(file, []byte(fmt.Sprintf(`{"key":%q}`, h.publicKey(h.key))), 0o644); err != nil {
			t.Fatal(err)
		}
		source := h.debugSource()
		source["verifyCommands"] = []any{object{"command": []string{"/bin/cat", file}, "user": "nobody"}}
		c["verifyKeys"] = []string{}
		c["metrics"] = object{"address": metrics}
		c["sources"] = object{"debug": source}
	})
	return h, file, metrics
}

// Whose key only a verify command knows comes back to their sessions with the
// same client as everybody.
func TestVouchedKeyComesBack(t *testing.T) {
	h, file, metrics := vouchedHost(t)
	if got := h.runClient(nil, "sessions", "--accept-new", "myhost"); got.code == 0 {
		t.Errorf("sessions before there is one: %+v", got)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	live := h.clientCmd(ctx, "exec", "--accept-new", "-n", "debug", "myhost", "--", "sleep", "1000")
	if err := live.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- live.Wait() }()
	h.waitFor("the session", func() bool { return strings.Contains(h.log.String(), "session opened") })
	ids := h.sessionIDs()
	if len(ids) != 1 {
		t.Fatalf("sessions: %v", ids)
	}

	said, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	before := refusals(scrape(t, metrics), shell.ReasonVerifyCommand)
	if got := h.runClient(nil, "kill", "myhost", ids[0]); got.code == 0 {
		t.Errorf("kill when the command says no: %+v", got)
	}
	if n := refusals(scrape(t, metrics), shell.ReasonVerifyCommand); n <= before {
		t.Errorf("%d refusals are counted, before %d", n, before)
	}
	if err := os.WriteFile(file, said, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := h.runClient(nil, "kill", "myhost", ids[0]); got.code != 0 {
		t.Errorf("kill: %+v", got)
	}
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("exec ended with %v", err)
	}
}
