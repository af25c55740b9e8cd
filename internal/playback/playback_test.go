package playback

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"shellagent/internal/cli"
	"shellagent/jwtauth"
	"shellagent/record"
	"shellagent/seal"
	"shellagent/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recording makes one of an agent whose state directory it returns.
func recording(t *testing.T) (path, stateDir string) {
	t.Helper()
	stateDir = t.TempDir()
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(stateDir, "host_key.pub"), host.PublicKey().AuthorizedKey("host key")+"\n")
	key, err := seal.Load(stateDir, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(stateDir, "recordings", "S.cast.zst")
	w, err := record.Create(path, record.Header{
		Session: "S", Host: "web1", Source: "debug", Subject: "alice", User: "operator", Started: time.Now(),
	}, key, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"one\r\n", "\x1b[31mtw", "\x1b[0mo\r\n", "three\r\n"} {
		if err := w.Output(time.Duration(i)*time.Hour, shell.FrameStdout, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.End(4*time.Hour, 3); err != nil {
		t.Fatal(err)
	}
	return path, stateDir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, cmd *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", "")
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.Execute()
	return out.String(), errs.String(), err
}

func cutFile(t *testing.T, path string, less int64) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut")
	write(t, cut, string(b[:int64(len(b))-less]))
	return cut
}

func TestExportWritesTheCast(t *testing.T) {
	path, _ := recording(t)
	out, _, err := run(t, exportCommand(), path)
	if err != nil || !strings.HasPrefix(out, `{"version":2,`) || !strings.HasSuffix(out, "[14400.000000, \"x\", \"3\"]\n") {
		t.Errorf("%v\n%s", err, out)
	}
	to := filepath.Join(t.TempDir(), "a.cast")
	if out, _, err = run(t, exportCommand(), "--format", "3", "-o", to, path); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
	if b, _ := os.ReadFile(to); !bytes.HasPrefix(b, []byte(`{"version":3,`)) {
		t.Errorf("%s", b)
	}
	if _, _, err = run(t, exportCommand(), "--format", "4", path); err == nil {
		t.Error("version 4 is written")
	}
	if _, _, err := run(t, exportCommand(), to); !errors.Is(err, record.ErrFormat) {
		t.Errorf("a cast is exported as if it were a recording: %v", err)
	}
	if _, err := os.Stat(to + ".part"); err == nil {
		t.Error("a part is left")
	}
}

func TestExportRepairsACutEnd(t *testing.T) {
	path, _ := recording(t)
	out, notes, err := run(t, exportCommand(), cutFile(t, path, 3))
	if err != nil || !strings.HasSuffix(out, "three\\r\\n\"]\n") || !strings.Contains(notes, "3h0m0s") {
		t.Errorf("%v\n%s\n%s", err, out, notes)
	}
}

func TestVerify(t *testing.T) {
	path, dir := recording(t)
	out, _, err := run(t, verifyCommand(), "--state-dir", dir, path)
	if err != nil || !strings.Contains(out, "holds: session S of alice as operator by debug on web1, 4h0m0s") {
		t.Errorf("%v\n%s", err, out)
	}
	for what, c := range map[string]struct {
		path string
		args []string
		want string
	}{
		"cut":     {cutFile(t, path, 3), nil, "CUT at byte"},
		"unknown": {path, []string{"--host-key", "SHA256:AAAA"}, "is not known here"},
		"other":   {filepath.Join(dir, "host_key.pub"), nil, "DOES NOT HOLD"},
		"missing": {filepath.Join(dir, "none"), nil, "DOES NOT HOLD"},
	} {
		out, _, err := run(t, verifyCommand(), append([]string{"--state-dir", dir, c.path}, c.args...)...)
		var exit cli.Exit
		if !errors.As(err, &exit) || exit != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	out, _, err = run(t, verifyCommand(), "--json", "--host-key", filepath.Join(dir, "host_key.pub"), path)
	var got verdict
	if err := errors.Join(err, json.Unmarshal([]byte(out), &got)); err != nil || !got.Holds || !got.Complete || got.Until != 4*3600*1000 {
		t.Errorf("%v: %+v", err, got)
	}
}

func newPlayer(t *testing.T) (*player, *bytes.Buffer) {
	t.Helper()
	path, _ := recording(t)
	tape, err := open(&file{path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tape.close)
	var out bytes.Buffer
	return &player{tape: tape, out: &out, speed: 1, keys: make(chan key)}, &out
}

func TestReplayPlays(t *testing.T) {
	p, out := newPlayer(t)
	p.speed, p.idle = 1000, time.Second
	if err := p.play(context.Background()); err != nil || out.String() != "one\r\n\x1b[31mtw\x1b[0mo\r\nthree\r\n" {
		t.Errorf("%v %q", err, out)
	}
}

// Every key waits for the one before to be obeyed, since nobody reads keys else.
func TestReplayObeysKeys(t *testing.T) {
	p, out := newPlayer(t)
	ended := make(chan error)
	go func() { ended <- p.play(context.Background()) }()
	for _, k := range []key{
		{kind: keyPause}, {kind: keyStep}, {kind: keyStep}, // two
		{kind: keyJump, by: -time.Minute}, // back: the screen is cleared, one and tw again
		{kind: keyFind, text: "THREE"},
		{kind: keyFaster}, {kind: keySlower},
		{kind: keyLeave},
	} {
		p.keys <- k
	}
	if err := <-ended; err != errLeft {
		t.Errorf("got %v", err)
	}
	want := "one\r\n\x1b[31mtw\x1b[0mo\r\n" + clearScreen + "one\r\n\x1b[31mtw\x1b[0mo\r\nthree\r\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestReplayFindsAcrossPieces(t *testing.T) {
	p, out := newPlayer(t)
	p.goal = goal{text: "ONE\ntwo"}
	ended := make(chan error)
	go func() { ended <- p.play(context.Background()) }()
	p.keys <- key{kind: keyLeave} // it is paused there
	if err := <-ended; err != errLeft || !strings.HasSuffix(out.String(), "o\r\n") {
		t.Errorf("%v %q", err, out)
	}
	p, out = newPlayer(t)
	p.goal = goal{text: "nowhere"}
	if err := p.play(context.Background()); err != nil || !strings.Contains(out.String(), "not found: nowhere") {
		t.Errorf("%v %q", err, out)
	}
}

func TestKeys(t *testing.T) {
	keys := make(chan key)
	go readKeys(strings.NewReader(" .+-n\x1b[C\x1b[D][/abx\x7f\r/no\x1b\x03"), keys)
	var got []key
	for k := range keys {
		got = append(got, k)
	}
	want := []key{
		{kind: keyPause}, {kind: keyStep}, {kind: keyFaster}, {kind: keySlower}, {kind: keyAgain},
		{kind: keyJump, by: 5 * time.Second}, {kind: keyJump, by: -5 * time.Second},
		{kind: keyJump, by: time.Minute}, {kind: keyJump, by: -time.Minute},
		{kind: keyFind, text: "ab"}, {kind: keyFind}, {kind: keyLeave},
	}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%d: %v instead of %v", i, got[i], want[i])
		}
	}
}

func TestReplayWithoutATerminal(t *testing.T) {
	path, _ := recording(t)
	out, _, err := run(t, replayCommand(), path)
	if err != nil || out != "one\r\n\x1b[31mtw\x1b[0mo\r\nthree\r\n" {
		t.Errorf("%v %q", err, out)
	}
}
