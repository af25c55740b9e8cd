package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fleet has h's client know targets at several agents, each a port and a source.
func (h *host) fleet(targets map[string]object, groups map[string][]string) {
	for _, entry := range targets {
		if entry["hostname"] == nil {
			entry["hostname"] = "127.0.0.1"
		}
		if entry["source"] == nil {
			entry["source"] = "debug"
		}
	}
	config := object{"signingKeyPath": h.key, "targets": targets}
	if groups != nil {
		config["groups"] = groups
	}
	h.writeJSON(h.client, config)
}

// startFor starts an agent that takes another's client.
func startFor(t *testing.T, first *host, edit func(source object)) *host {
	t.Helper()
	return startHost(t, func(h *host, config object) {
		config["verifyKeys"] = []string{h.publicKey(first.key)}
		source := h.debugSource()
		edit(source)
		config["sources"] = object{"debug": source}
	})
}

func withEnv(source object, name, value string) {
	if source["exec"] == nil {
		source["exec"] = object{}
	}
	source["exec"].(object)["env"] = object{name: value}
}

// event is a line of --json.
type event struct {
	Event, Target, Stream, Text, Base64, Outcome, Why, Signal string
	Code, Succeeded, Targets                                  int
	OK                                                        bool
}

// events reads a run of --json: what each target printed, how each ended, and the
// summary.
func events(t *testing.T, text string) (printed map[string]string, ends map[string]event, summary event) {
	t.Helper()
	printed, ends = map[string]string{}, map[string]event{}
	streams := map[string]*strings.Builder{}
	in := bufio.NewScanner(strings.NewReader(text))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var e event
		line := in.Bytes()
		if bytes.Contains(line, []byte(`"event":"start"`)) {
			continue // its targets are a list
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		switch e.Event {
		case "output":
			raw, err := base64.StdEncoding.DecodeString(e.Base64)
			if err != nil {
				t.Error(err)
			}
			name := e.Target + " " + e.Stream
			if streams[name] == nil {
				streams[name] = &strings.Builder{}
			}
			streams[name].WriteString(e.Text + string(raw))
		case "end":
			ends[e.Target] = e
		case "summary":
			summary = e
		}
	}
	for name, text := range streams {
		printed[name] = text.String()
	}
	return printed, ends, summary
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// Several agents, each with its own way to fail, and one that does not.
func TestFanOutToAgentsThatFail(t *testing.T) {
	t.Parallel() // it mostly waits
	well := startHost(t, nil)
	third := startFor(t, well, func(source object) { withEnv(source, "LANG", "three") })
	slow := startFor(t, well, func(source object) { withEnv(source, "LANG", "slow") })
	dying := startFor(t, well, func(source object) { withEnv(source, "LANG", "dying") })
	closed := freePort(t)
	well.fleet(map[string]object{
		"well": {"port": well.port}, "three": {"port": third.port}, "slow": {"port": slow.port}, "dying": {"port": dying.port},
		"refused": {"port": closed}, "nowhere": {"hostname": "no-such-host.invalid"}, "stranger": {"port": well.port, "source": "nosuch"},
	}, map[string][]string{"most": {"well", "three", "@rest"}, "rest": {"dying", "refused", "nowhere", "stranger", "well"}})
	marker := fmt.Sprintf("7%d", os.Getpid())
	script := `case $LANG in three) exit 3;; slow) exec sleep ` + marker + `;; dying) echo dying; exec sleep 60;; esac; printf 'a\377\nb'; echo e >&2`

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := well.clientCmd(ctx, "exec", "--accept-new", "--json", "@most", "--command", script)
	var stdout, stderr syncBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	well.waitFor("the program on the agent that will be killed", func() bool { return strings.Contains(stdout.String(), `dying\n`) })
	_ = dying.cmd.Process.Kill()
	<-dying.done
	dying.cmd = nil
	_ = cmd.Wait()

	printed, ends, summary := events(t, stdout.String())
	if printed["well stdout"] != "a\xff\nb" || printed["well stderr"] != "e\n" {
		t.Errorf("well printed %q", printed)
	}
	for target, want := range map[string]struct {
		outcome string
		code    int
	}{
		"well": {"exited", 0}, "three": {"exited", 3}, "dying": {"lost", 255},
		"refused": {"unreached", 255}, "nowhere": {"unreached", 255}, "stranger": {"unreached", 255},
	} {
		if e := ends[target]; e.Outcome != want.outcome || e.Code != want.code || e.OK != (want.code == 0) {
			t.Errorf("%s: %+v, want %+v", target, e, want)
		}
	}
	if summary.Targets != 6 || summary.Succeeded != 1 || summary.Code != 255 || cmd.ProcessState.ExitCode() != 255 {
		t.Errorf("%+v, exit code %d", summary, cmd.ProcessState.ExitCode())
	}
	said := stderr.String()
	for _, part := range []string{
		"1 of 6 succeeded", "; three: exit 3; ", "; refused: cannot connect: connection refused; ", "; nowhere: no such host; ",
		"nowhere: no host is called no-such-host.invalid", "; stranger: refused (unauthorized)", "; dying: the connection is lost; ",
	} {
		if !strings.Contains(said, part) {
			t.Errorf("nothing says %q:\n%s", part, said)
		}
	}

	got := well.exec(nil, "--timeout", "2s", "slow,well", "--command", script)
	if got.code != 124 || !strings.Contains(got.stderr, "1 of 2 succeeded; slow: the time limit of 2s is over") {
		t.Errorf("too slow: %+v", got)
	}
	well.waitFor("the end of what was too slow", func() bool { return sleepers(marker) == 0 })
}

// sleepers counts the programs "sleep MARKER".
func sleepers(marker string) (n int) {
	out, _ := exec.Command("pgrep", "-fc", "^sleep "+marker+"$").Output()
	_, _ = fmt.Sscan(string(out), &n)
	return n
}

func TestFanOutToAHundredTargetsIsExact(t *testing.T) {
	h := startHost(t, nil)
	all := map[string]object{}
	for i := range 100 {
		all[fmt.Sprintf("t%02d", i)] = object{"port": h.port}
	}
	h.fleet(all, nil)
	h.exec(nil, "t00", "--", "true") // whose key is known then
	want := h.exec(nil, "t00", "--command", "seq 1 20000").stdout
	if strings.Count(want, "\n") != 20000 {
		t.Fatalf("seq: %d bytes", len(want))
	}
	command := []string{"--parallel", "40", "@all", "--command", "seq 1 20000; echo done >&2"}
	t.Run("lines", func(t *testing.T) {
		got := h.exec(nil, command...)
		printed := map[string]*strings.Builder{}
		for line := range strings.Lines(got.stdout) {
			name, text, _ := strings.Cut(line, " | ")
			if printed[name] == nil {
				printed[name] = &strings.Builder{}
			}
			printed[name].WriteString(text)
		}
		if got.code != 0 || len(printed) != 100 || strings.Count(got.stderr, " | done\n") != 100 {
			t.Fatalf("code %d, %d targets, %s", got.code, len(printed), tail(got.stderr, 1000))
		}
		for name, text := range printed {
			if sum(text.String()) != sum(want) {
				t.Errorf("%s printed %d bytes, not the %d that it should", name, text.Len(), len(want))
			}
		}
	})
	t.Run("groups", func(t *testing.T) {
		got := h.exec(nil, append([]string{"--group"}, command...)...)
		for name := range all {
			if !strings.Contains(got.stdout, "== "+name+": exit 0\n"+want+"==") && !strings.HasSuffix(got.stdout, "== "+name+": exit 0\n"+want) {
				t.Errorf("%s is not together", name)
			}
		}
	})
	t.Run("json", func(t *testing.T) {
		got := h.exec(nil, append([]string{"--json"}, command...)...)
		printed, ends, summary := events(t, got.stdout)
		if summary.Succeeded != 100 || len(ends) != 100 {
			t.Errorf("%+v, %d ends", summary, len(ends))
		}
		for name := range all {
			if sum(printed[name+" stdout"]) != sum(want) || printed[name+" stderr"] != "done\n" {
				t.Errorf("%s printed %d bytes", name, len(printed[name+" stdout"]))
			}
		}
	})
	t.Run("input", func(t *testing.T) {
		blob := strings.Repeat("0123456789\x00\xff\n", 200_000)
		got := h.exec(strings.NewReader(blob), "--stdin-all", "--json", "t00,t01,t02,t03", "--", "sha256sum")
		printed, _, _ := events(t, got.stdout)
		for _, name := range []string{"t00", "t01", "t02", "t03"} {
			if !strings.HasPrefix(printed[name+" stdout"], sum(blob)) {
				t.Errorf("%s: %q", name, printed)
			}
		}
		if got := h.exec(strings.NewReader(blob), "t00,t01", "--", "wc", "-c"); got.stdout != "t00 | 0\nt01 | 0\n" && got.stdout != "t01 | 0\nt00 | 0\n" {
			t.Errorf("without it: %+v", got)
		}
	})
}

// Ctrl-C reaches every program; the second hangs up those that do not care.
func TestFanOutIsInterrupted(t *testing.T) {
	h := startHost(t, nil)
	h.fleet(map[string]object{"one": {"port": h.port}, "two": {"port": h.port}, "three": {"port": h.port}}, nil)
	h.exec(nil, "one", "--", "true")
	marker := fmt.Sprintf("8%d", os.Getpid())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	start := func(script string) (*exec.Cmd, *syncBuffer) {
		cmd := h.clientCmd(ctx, "exec", "--parallel", "2", "@all", "--command", script)
		out := &syncBuffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		h.waitFor("two programs", func() bool { return strings.Count(out.String(), "| ready\n") == 2 })
		return cmd, out
	}
	end := func(cmd *exec.Cmd, out *syncBuffer, parts ...string) {
		t.Helper()
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("exit code %d:\n%s", code, out)
		}
		for _, part := range parts {
			if !strings.Contains(out.String(), part) {
				t.Errorf("nothing says %q:\n%s", part, out)
			}
		}
	}
	cmd, out := start("trap 'echo in order; kill $!; exit 4' INT; sleep " + marker + " & echo ready; wait")
	_ = cmd.Process.Signal(syscall.SIGINT)
	end(cmd, out, "one | in order\n", "three | in order\n", "one, three: exit 4; two: not begun", "Ctrl-C again hangs up")

	cmd, out = start("trap '' INT; sleep " + marker + " & echo ready; wait; wait")
	_ = cmd.Process.Signal(syscall.SIGINT)
	h.waitFor("the first to be told", func() bool { return strings.Contains(out.String(), "Ctrl-C again") })
	_ = cmd.Process.Signal(syscall.SIGINT)
	end(cmd, out, "one, three: ended from here")
	h.waitFor("every program to be gone", func() bool { return sleepers(marker) == 0 })
}

// Shared connections carry it as well, Ctrl-C included.
func TestFanOutShares(t *testing.T) {
	h := startHost(t, nil)
	h.fleet(map[string]object{"one": {"port": h.port}, "two": {"port": h.port}}, nil)
	t.Cleanup(func() { h.shareStop("--now") })
	for range 2 {
		if got := h.exec(nil, "--share=1m", "@all", "--", "echo", "x"); got.code != 0 || strings.Count(got.stdout, "| x\n") != 2 {
			t.Fatalf("%+v", got)
		}
	}
	all := h.holders().Connections
	if len(all) != 2 || all[0].Opened != 2 || all[1].Opened != 2 {
		t.Errorf("holders: %+v", all)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := h.clientCmd(ctx, "exec", "--share=1m", "@all", "--command", "trap 'kill $!; exit 4' INT; sleep 1000 & echo ready; wait")
	out := &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.waitFor("two programs", func() bool { return strings.Count(out.String(), "| ready\n") == 2 })
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "one, two: exit 4") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// A program whose reader left is ended on every target.
func TestFanOutWhoseReaderLeft(t *testing.T) {
	h := startHost(t, nil)
	h.fleet(map[string]object{"one": {"port": h.port}, "two": {"port": h.port}}, nil)
	marker := fmt.Sprintf("9%d", os.Getpid())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := h.clientCmd(ctx, "exec", "--accept-new", "-q", "@all", "--command", "yes & exec sleep "+marker)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, out, 1<<20); err != nil {
		t.Error(err)
	}
	out.Close()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 141 {
		t.Errorf("exit code %d", code)
	}
	h.waitFor("every program to be gone", func() bool { return sleepers(marker) == 0 })
}
