package playback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"shellagent/audit"
	"shellagent/internal/cli"
	"shellagent/jwtauth"
	"shellagent/seal"
)

// trail makes one, and the folder with its agent's host key.
func trail(t *testing.T) (*audit.Trail, string) {
	t.Helper()
	return trailOf(t, audit.Options{Host: "web1", MaxFile: 2500})
}

func trailOf(t *testing.T, o audit.Options) (*audit.Trail, string) {
	t.Helper()
	state := t.TempDir()
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(state, "host_key.pub"), host.PublicKey().AuthorizedKey("")+"\n")
	key, err := seal.Load(state, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := audit.OpenTrail(filepath.Join(state, "audit"), key, o)
	if err != nil {
		t.Fatal(err)
	}
	return made, state
}

func fill(t *testing.T, made *audit.Trail) {
	t.Helper()
	exit, bytes := 3, uint64(10)
	day := time.Now().Add(-24 * time.Hour)
	for i := range 3 {
		for _, e := range []*audit.Event{
			{Kind: audit.SessionOpened, Time: day, Session: fmt.Sprint("S", i), Subject: "alice", Source: "debug", User: "operator", Remote: "192.0.2.1", Command: "id \x1b[31m"},
			{Kind: audit.SessionEnded, Session: fmt.Sprint("S", i), Subject: "alice", Source: "debug", User: "operator", Exit: &exit, Input: &bytes, Output: &bytes, Duration: 1.5},
			{Kind: audit.RequestRefused, Reason: "signature", Remote: "192.0.2.7", Count: 12},
		} {
			if err := made.Append(e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestLog(t *testing.T) {
	made, state := trail(t)
	fill(t, made)
	dir := filepath.Join(state, "audit")
	for _, c := range []struct {
		args string
		want int
		text string
	}{
		{"--subject alice", 6, "session.opened alice as operator by debug from 192.0.2.1 ran id [31m session S0"},
		{"--subject alic", 0, ""},
		{"--session S1", 2, "exit 3 after 1.5s, 10 bytes out, 10 in session S1"},
		{"--event request.refused", 3, "request.refused from 192.0.2.7 (signature) 12 times"},
		{"--event session.*", 6, "session.ended"},
		{"--event session.* --since 1h", 3, "session.ended"},
		{"--event session.* --until 1h", 3, "session.opened"},
		{"--remote 192.0.2.7 --source debug", 0, ""},
	} {
		out, _, err := run(t, logCommand(), append(strings.Fields(c.args), "--dir", dir)...)
		if err != nil || strings.Count(out, "\n") != c.want || !strings.Contains(out, c.text) {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
	}
	out, _, err := run(t, logCommand(), "--json", "--user", "operator", "--dir", dir)
	if err != nil || strings.Count(out, `"sig":"`) != 6 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, wrong := range [][]string{{"--since", "yesterday"}, {"--dir", filepath.Join(state, "none")}} {
		if _, _, err := run(t, logCommand(), wrong...); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}

// lines is a writer that tells of what is written.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func TestLogFollows(t *testing.T) {
	made, state := trail(t)
	out := make(lines)
	ctx, stop := context.WithCancel(context.Background())
	l := &logging{dir: filepath.Join(state, "audit"), follow: true, filter: filter{subject: "alice"}}
	cmd := &cobra.Command{}
	cmd.SetOut(out)
	ended := make(chan error)
	go func() { ended <- l.run(ctx, cmd) }()
	fill(t, made) // over several files
	for range 6 {
		if line := <-out; !strings.Contains(line, "alice") {
			t.Errorf("got %q", line)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestVerifyTrail(t *testing.T) {
	made, state := trail(t)
	fill(t, made)
	dir := filepath.Join(state, "audit")
	out, _, err := run(t, verifyCommand(), "--state-dir", state, dir)
	if err != nil || !strings.Contains(out, fmt.Sprintf("up to line %d", made.Link().N)) {
		t.Errorf("%v\n%s", err, out)
	}
	files, err := audit.Files(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	b, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	write(t, files[1], string(bytes.Replace(b, []byte("alice"), []byte("malet"), 1)))
	out, _, err = run(t, verifyCommand(), append([]string{"--state-dir", state}, files...)...)
	var exit cli.Exit
	if !errors.As(err, &exit) || !strings.Contains(out, filepath.Base(files[1])+":") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _, err := run(t, verifyCommand(), t.TempDir()); err == nil {
		t.Errorf("an empty folder holds: %s", out)
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"": {}, "2026-01-02": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), "2026-01-02 15:04": time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC),
		"90m": now.Add(-90 * time.Minute), "7d": now.AddDate(0, 0, -7), "2026-01-02T15:04:05+02:00": time.Date(2026, 1, 2, 13, 4, 5, 0, time.UTC),
	} {
		if got, err := parseTime(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"x", "-1h", "99999999d", "2026-13-01"} {
		if got, err := parseTime(s, now); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
