package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A log in a file is rotated under the running agent, by copying and truncating
// as logrotate does: nothing is lost after it, and the new file begins with a line.
func TestLogFileIsRotated(t *testing.T) {
	h := newHost(t, nil)
	file := filepath.Join(h.dir, "agent.log")
	h.startWith(exec.Command("sh", "-c", `exec "$0" listen -c "$1" 2>>"$2"`, agentBin, h.config, file))
	read := func() string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if got := h.exec(nil, "myhost", "--", "true"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	h.waitFor("the session's lines", func() bool { return strings.Contains(read(), "session ended") })
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	if got := h.exec(nil, "nothere", "myhost", "--", "true"); got.code != 255 {
		t.Fatalf("%+v", got)
	}
	h.waitFor("the refusal's line", func() bool { return strings.Contains(read(), "reason=unknown_source") })
	if text := read(); !strings.HasPrefix(text, "time=") || strings.Contains(text, "session opened") {
		t.Errorf("after the rotation the log is %.300q", text)
	}
}
