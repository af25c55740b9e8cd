package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recorded makes the source's sessions recorded, as its record says.
func recorded(record any) func(h *host, config object) {
	return func(_ *host, config object) {
		config["sources"].(object)["debug"].(object)["record"] = record
	}
}

// recordings are the files of recordings, wherever they are below a folder.
func recordings(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

// oneRecording waits until there is one recording, and it is complete.
func (h *host) oneRecording() string {
	h.t.Helper()
	var files []string
	h.waitFor("a complete recording", func() bool {
		files = recordings(h.t, filepath.Join(h.dir, "state", "recordings"))
		return len(files) == 1 && h.look("verify", "--state-dir", filepath.Join(h.dir, "state"), files[0]).code == 0
	})
	return files[0]
}

// look runs a command of the agent that needs none.
func (h *host) look(args ...string) result {
	h.t.Helper()
	cmd := exec.Command(agentBin, args...)
	cmd.Env = h.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return h.finish(cmd.Run(), cmd, &stdout, &stderr)
}

// castEvents are the data of a cast's events with a code, in order.
func castEvents(t *testing.T, cast, code string) (all []string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(cast), "\n")[1:] {
		var e [3]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e[1] == code {
			all = append(all, e[2].(string))
		}
	}
	return all
}

// export returns the cast of a recording.
func (h *host) export(args ...string) string {
	h.t.Helper()
	got := h.look(append([]string{"export"}, args...)...)
	if got.code != 0 {
		h.t.Fatalf("export %v: %d: %s", args, got.code, got.stderr)
	}
	return got.stdout
}

func TestRecordedExec(t *testing.T) {
	h := startHost(t, recorded(true))
	got := h.exec(nil, "debug", "myhost", "--", "sh", "-c", `echo out; echo err >&2; printf '\342\202'; sleep .1; printf '\254\n'; exit 3`)
	if got.code != 3 {
		t.Fatalf("exit %d: %s", got.code, got.stderr)
	}
	file := h.oneRecording()
	cast := h.export(file)
	shown := strings.Join(castEvents(t, cast, "o"), "")
	for _, want := range []string{"out\n", "err\n", "€\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in %q", want, shown)
		}
	}
	if exit := castEvents(t, cast, "x"); len(exit) != 1 || exit[0] != "3" {
		t.Errorf("exit %q", exit)
	}
	if marked := castEvents(t, h.export("--keep-stderr", file), "e"); strings.Join(marked, "") != "err\n" {
		t.Errorf("stderr %q", marked)
	}
	if typed := castEvents(t, cast, "i"); len(typed) != 0 {
		t.Errorf("input %q is recorded, which nobody asked for", typed)
	}
	plain, err := exec.Command("zstd", "-dcq", file).Output()
	if err != nil || !bytes.Contains(plain, []byte("€")) {
		t.Errorf("zstd: %v: %q", err, plain)
	}
}

// TestRecordingIsOutOfReach tries what the session's user may: to read, to change
// and to remove what records them.
func TestRecordingIsOutOfReach(t *testing.T) {
	needRoot(t)
	h := startHost(t, recorded(true))
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	file := h.oneRecording()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"cat %s", "echo x >>%s", "rm -f %s", "mv %s /tmp/", "chmod 666 %s", "ls %s", "truncate -s 0 %s"} {
		got := h.exec(nil, "debug", "myhost", "--", "sh", "-c", fmt.Sprintf(command, file))
		if got.code == 0 || !strings.Contains(got.stderr, "ermission denied") {
			t.Errorf("%s: %d %s", command, got.code, got.stderr)
		}
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the recording is another one: %v", err)
	}
}

const asterisks = `import os, sys, termios, tty
saved = termios.tcgetattr(0); tty.setraw(0); os.write(1, b"PIN: ")
while os.read(0, 1) != b"\r": os.write(1, b"*")
termios.tcsetattr(0, termios.TCSADRAIN, saved); print("\nthanks")`

// TestRecordedTerminal types words that are shown and words that are not, in the
// four ways in which programs ask for them, and plays what was recorded.
func TestRecordedTerminal(t *testing.T) {
	need(t, "asciinema", "script", "python3")
	h := startHost(t, recorded(object{"input": true}))
	script := filepath.Join(h.dir, "pin.py")
	if err := os.WriteFile(script, []byte(asterisks), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := shellScreen(t, h)
	s.remotePrompt()
	// A line editor's keys are recorded as far as they are shown before Enter.
	enter := func(line string) {
		s.tmux("send-keys", "-l", line)
		h.waitFor(line+" on the screen", func() bool { return strings.Contains(strings.ReplaceAll(s.text(), "\n", ""), line) })
		s.keys("Enter")
	}
	ask := func(command, prompt, secret, after string) {
		enter(command)
		s.see(prompt)
		for _, c := range secret {
			s.tmux("send-keys", "-l", string(c))
		}
		s.keys("Enter")
		s.see(after + "\nremote$") // what is typed before its prompt is nobody's yet
	}
	ask("read -s -p 'word'': ' w; echo; echo he''ard", "word:", "first-secret", "heard")
	ask(`python3 -c 'import getpass; getpass.getpass("Pass"+"word: "); print("let"+"in")'`, "Password:", "second-secret", "letin")
	ask("python3 "+script, "PIN:", "third-secret", "thanks")
	ask("echo visible''-words; read -p 'na''me: ' n; echo hel''lo", "name:", "bobby", "hello")
	s.resize(90, 20)
	enter("exit")
	s.see("local$")

	file := h.oneRecording()
	cast := h.export(file)
	typed := strings.Join(castEvents(t, cast, "i"), "")
	for _, want := range []string{"echo visible''-words", "bobby", "exit\r"} {
		if !strings.Contains(typed, want) {
			t.Errorf("%q is not in what was typed: %q", want, typed)
		}
	}
	if strings.Contains(cast, "secret") {
		t.Errorf("a secret is recorded:\n%s", cast)
	}
	if len(castEvents(t, cast, "r")) == 0 {
		t.Error("the new size is not recorded")
	}
	h.playV2(cast, "visible-words")
	h.playV3(h.export("--format", "3", file), "visible-words")
}

// playV2 plays a cast with asciinema.
func (h *host) playV2(cast, want string) {
	h.t.Helper()
	file := filepath.Join(h.dir, "v2.cast")
	if err := os.WriteFile(file, []byte(cast), 0o600); err != nil {
		h.t.Fatal(err)
	}
	for _, how := range []string{"cat", "play -s 1000 -i 0.01"} {
		cmd := exec.Command("timeout", "60", "script", "-qec", "asciinema "+how+" "+file, "/dev/null")
		cmd.Env = h.env()
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(want)) {
			h.t.Errorf("asciinema %s: %v:\n%s", how, err, tail(string(out), 2000))
		}
	}
}

// playV3 plays a cast with asciinema-player's own core.
func (h *host) playV3(cast, want string) {
	h.t.Helper()
	need(h.t, "node", "npm")
	file := filepath.Join(h.dir, "v3.cast")
	if err := os.WriteFile(file, []byte(cast), 0o600); err != nil {
		h.t.Fatal(err)
	}
	install := exec.Command("timeout", "120", "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", h.dir, "asciinema-player@3.18.0")
	if out, err := install.CombinedOutput(); err != nil {
		h.t.Logf("NOT RUN: asciinema-player: npm cannot fetch it: %v: %s", err, tail(string(out), 500))
		return
	}
	cmd := exec.Command("timeout", "60", "node", "testdata/player.mjs", filepath.Join(h.dir, "node_modules"), file)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || !strings.Contains(stdout.String(), want) || !strings.HasSuffix(stderr.String(), "ended\n") {
		h.t.Errorf("asciinema-player: %v: %s\n%s", err, tail(stderr.String(), 1000), tail(stdout.String(), 2000))
	}
	if !strings.Contains(stderr.String(), "resize 90x") {
		h.t.Errorf("no new size: %s", tail(stderr.String(), 1000))
	}
}

func TestEncryptedRecording(t *testing.T) {
	need(t, "age-keygen")
	h := newHost(t, nil)
	identity := filepath.Join(h.dir, "audit.key")
	h.run0("age-keygen", "-o", identity)
	recipient := strings.TrimSpace(h.run0("age-keygen", "-y", identity))
	var config object
	text, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	recorded(object{"recipients": []string{recipient}})(h, config)
	h.writeJSON(h.config, config)
	h.start()
	if got := h.exec(nil, "debug", "myhost", "--", "echo", "for few eyes"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	file := h.oneRecording()
	if !strings.HasSuffix(file, ".cast.age") {
		t.Errorf("the file is %s", file)
	}
	if got := h.look("export", file); got.code == 0 || !strings.Contains(got.stderr, "encrypted") {
		t.Errorf("without the identity: %d %s", got.code, got.stderr)
	}
	if cast := h.export("-i", identity, file); !strings.Contains(cast, "for few eyes") {
		t.Errorf("with the identity: %s", cast)
	}
	if raw, err := os.ReadFile(file); err != nil || bytes.Contains(raw, []byte("for few eyes")) {
		t.Errorf("it is in the file as it is: %v", err)
	}
}

// counting prints a number every 10 ms, with the time in milliseconds.
const counting = `i=0; while [ $i -lt %d ]; do i=$((i+1)); echo "n$i $(date +%%s%%3N)"; sleep .01; done`

// counted holds the numbers in a recording against each other, and returns the
// last one's time.
func counted(t *testing.T, cast string) (last int, at time.Time) {
	t.Helper()
	for _, line := range strings.Split(strings.Join(castEvents(t, cast, "o"), ""), "\n") {
		var n int
		var ms int64
		if _, err := fmt.Sscanf(line, "n%d %d", &n, &ms); err != nil {
			continue
		}
		if n != last+1 {
			t.Fatalf("%d comes after %d", n, last)
		}
		last, at = n, time.UnixMilli(ms)
	}
	return last, at
}

func TestUpgradeUnderARecording(t *testing.T) {
	h := upgradable(t, recorded(object{"input": true}))
	cmd := startedClient(t, h, fmt.Sprintf(counting, 400))
	h.install(nil)
	h.reload(tookOver)
	h.install(nil)
	h.reload(tookOver)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the session: %v", err)
	}
	if last, _ := counted(t, h.export(h.oneRecording())); last != 400 {
		t.Errorf("the recording ends at %d", last)
	}
}
