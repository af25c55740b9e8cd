package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// A client that reads nothing and acknowledges nothing keeps no agent from
// stopping: neither the broker nor the front comes to the end of its patience.
func TestStopWithASilentClient(t *testing.T) {
	h := startHost(t, nil)
	a := newAttacker(t, h, "127.0.0.1")
	silent := a.mustStart("debug", loadKey(t, h.key), `{"argv":["sh","-c","echo ready; exec cat"]}`)
	if _, err := silent.output("ready"); err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-h.done
	log := h.log.String()
	for _, late := range []string{"sessions did not end in time", "requests were cut off"} {
		if strings.Contains(log, late) {
			t.Errorf("the log says %q:\n%s", late, tail(log, 4000))
		}
	}
	if !strings.Contains(log, "session ended") {
		t.Errorf("the session did not end:\n%s", tail(log, 4000))
	}
}
