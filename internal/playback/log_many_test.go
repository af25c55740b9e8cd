package playback

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/audit"
)

// Ten thousand sessions, four lines each, are looked through.
func TestLogOfTenThousandSessions(t *testing.T) {
	made, state := trailOf(t, audit.Options{Host: "web1", MaxFile: 8 << 20})
	exit, bytes := 0, uint64(4711)
	var batch []*audit.Event
	for i := range 10_000 {
		for _, kind := range []audit.Kind{audit.SessionOpened, audit.CommandRun, audit.SessionAttached, audit.SessionEnded} {
			e := &audit.Event{
				Kind: kind, Session: fmt.Sprintf("CZ4OkC5PRkZ0XKq0nTqz4Tqf0ZrLq8WvQ7c3Yq%05d", i), Subject: fmt.Sprint("person", i%100), Source: "debug",
				Key: "3kGxCZ4OkC5PRkZ0XKq0nTqz4Tqf0ZrLq8WvQ7c3Yq0", User: "operator", Remote: "192.0.2.1", Command: "systemctl status nginx", Argv: []string{"/bin/bash", "-c", "systemctl status nginx"},
			}
			if kind == audit.SessionEnded {
				e.Exit, e.Input, e.Output = &exit, &bytes, &bytes
			}
			batch = append(batch, e)
		}
		if len(batch) >= 1000 {
			if err := made.Append(batch...); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
	for args, want := range map[string]int{
		"--subject person42": 400, "--session CZ4OkC5PRkZ0XKq0nTqz4Tqf0ZrLq8WvQ7c3Yq04242": 4,
		"--event session.ended --subject person7 --since 1h": 100, "--subject nobody": 0,
	} {
		began := time.Now()
		out, _, err := run(t, logCommand(), append(strings.Fields(args), "--dir", filepath.Join(state, "audit"))...)
		if err != nil || strings.Count(out, "\n") != want {
			t.Errorf("%s: %v, %d lines", args, err, strings.Count(out, "\n"))
		}
		t.Logf("agent log %s: %v", args, time.Since(began).Round(time.Millisecond))
	}
}
