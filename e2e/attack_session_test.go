package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// TestReplayAfterRestart captures an open and sends it again: at once, after
// the agent was killed, and after it was stopped.
func TestReplayAfterRestart(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*host)
		code string
	}{
		"at once":         {nil, "replayed"},
		"after a crash":   {(*host).kill, "stale"},
		"after a restart": {(*host).stop, "stale"},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHost(t, nil)
			a := newAttacker(t, h, "127.0.0.1")
			file := fmt.Sprintf("/tmp/e2e-replay-%d", os.Getpid())
			defer os.Remove(file)
			ran := func() string { data, _ := os.ReadFile(file); return string(data) }
			captured := a.open("debug", loadKey(t, h.key), fmt.Sprintf(`{"argv":["sh","-c","echo x >> %s"]}`, file)).String()
			first, err := a.dial()
			if err != nil {
				t.Fatal(err)
			}
			signedAt := time.Now()
			if _, err := io.WriteString(first, captured); err != nil {
				t.Fatal(err)
			}
			h.waitFor("the command to run", func() bool { return ran() == "x\n" })
			first.Close() // or a stop waits for it to acknowledge the exit
			if c.end != nil {
				c.end(h)
				h.start()
			}
			if got := a.raw(captured); got.code != c.code {
				t.Errorf("the replay got %v, want %s", got, c.code)
			}
			if late := time.Since(signedAt); late > jwtauth.Lifetime {
				t.Errorf("after %v the token had lapsed by itself", late)
			}
			if got := ran(); got != "x\n" {
				t.Errorf("the command ran again: %q", got)
			}
		})
	}
}

// kill ends the agent as a crash does.
func (h *host) kill() {
	_ = h.cmd.Process.Kill()
	<-h.done
	h.cmd = nil
}

// TestClockThatStepsBack starts an agent that was here before, an hour later by
// its clock: what it took then must not be taken again. Whoever has a key still
// gets in, by the agent's nonce.
func TestClockThatStepsBack(t *testing.T) {
	h := startHost(t, nil)
	h.stop()
	ahead := fmt.Sprintln(time.Now().Add(time.Hour).UnixMilli())
	if err := os.WriteFile(filepath.Join(h.dir, "state", "token-watermark"), []byte(ahead), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	a := newAttacker(t, h, "127.0.0.1")
	alice := loadKey(t, h.key)
	got := a.raw(a.list(alice).String())
	if got.code != "stale" || got.nonce == "" {
		t.Fatalf("with the watermark ahead: %v", got)
	}
	v := &victim{attacker: a, alice: alice}
	if again := v.listWithNonce(alice, got.nonce); again.status != 200 {
		t.Errorf("a token with the agent's nonce: %v", again)
	}
	if r := h.exec(nil, "debug", "myhost", "--", "echo", "in"); r.stdout != "in\n" {
		t.Errorf("the client with the watermark ahead: %q, %q", r.stdout, r.stderr)
	}
}

// TestRevokedWhileItsSessionLives: a reload ends what the key had opened, and
// nobody else's.
func TestRevokedWhileItsSessionLives(t *testing.T) {
	var bob *jwtauth.PrivateKey
	var config object
	h := startHost(t, func(h *host, c object) {
		bob = newKey(t)
		c["verifyKeys"] = []string{h.publicKey(h.key), bob.PublicKey().AuthorizedKey("bob")}
		config = c
	})
	a := newAttacker(t, h, "127.0.0.1")
	alices := a.mustStart("debug", loadKey(t, h.key), `{"argv":["cat"]}`)
	bobs := a.mustStart("debug", bob, `{"argv":["sh","-c","sleep 4714 & cat"]}`)
	config["revokedKeys"] = []string{bob.PublicKey().Thumbprint()}
	h.writeJSON(h.config, config)
	if exit, err := bobs.exit(); err != nil || !strings.Contains(exit.Reason, "policy") {
		t.Errorf("the session of the revoked key: %+v, %v", exit, err)
	}
	if got := a.raw(bobs.stdin(0, "id\n").String()); got.code != "session_ended" {
		t.Errorf("typing into it: %v", got)
	}
	h.waitFor("its processes to end", func() bool { return !running("sleep 4714") })
	var typed uint64
	if err := alices.echoes("mine goes on\n", &typed); err != nil {
		t.Errorf("the other session: %v", err)
	}
}

// running says whether a process has this command line.
func running(command string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	want := []byte(strings.ReplaceAll(command, " ", "\x00") + "\x00")
	for _, f := range lines {
		if data, err := os.ReadFile(f); err == nil && bytes.Equal(data, want) {
			return true
		}
	}
	return false
}

// TestNobodyElseTypes lets everybody who is not the owner try to reach a
// session's program. It then has read exactly what its owner typed.
func TestNobodyElseTypes(t *testing.T) {
	a := newVictim(t)
	s := a.mustStart("debug", a.alice, `{"argv":["cat"]}`)
	var typed uint64
	if err := s.echoes("first\n", &typed); err != nil {
		t.Fatal(err)
	}
	other := a.mustStart("bobs", a.bob, `{"argv":["cat"]}`)
	body := shell.AppendStdin(nil, shell.Stdin{Offset: typed, Data: []byte("evil\n")})
	plain := request{method: "POST", target: s.target("stdin"), body: body}
	own := s.stdin(typed, "second\n")
	for name, r := range map[string]request{
		"without a token":        plain,
		"another session's key":  other.signed(plain),
		"bob's identity":         signed(plain, a.identity(plain, newKey(t).PublicKey()), a.bob),
		"alice's identity":       signed(plain, a.identity(plain, newKey(t).PublicKey()), a.alice),
		"alice's key as session": (&session{key: a.alice, id: s.id}).signed(plain),
		"a new key":              (&session{key: newKey(t), id: s.id}).signed(plain),
		"another body":           {method: "POST", target: own.target, body: body, token: own.token},
		"bob attaches":           signed(request{method: "POST", target: s.target("attach")}, a.identity(request{method: "POST", target: s.target("attach")}, newKey(t).PublicKey()), a.bob),
	} {
		if got := a.raw(r.String()); got.err != nil || got.status < 400 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := a.raw(own.String()); got.status != 200 {
		t.Errorf("the owner's own request: %v", got)
	}
	text, err := s.output("second\n")
	if err != nil || text != "second\n" {
		t.Errorf("the program read %q, %v", text, err)
	}
}

// TestStrangersLearnNothing compares what those are told who may not know
// whether there is a source, or whether their key is known.
func TestStrangersLearnNothing(t *testing.T) {
	a := newVictim(t)
	answers := map[string]string{}
	for i, who := range []struct {
		name, source string
		key          *jwtauth.PrivateKey
	}{
		{"no such source", "nothere", a.alice},
		{"not their source", "debug", a.bob},
		{"unknown key", "debug", newKey(t)},
		{"unknown key and source", "nothere", newKey(t)},
		{"revoked", "debug", a.revoked},
		{"expired", "debug", a.expired},
		{"from elsewhere", "debug", a.elsewhere},
		{"rule", "ruled", a.alice},
	} {
		at := a.at(fmt.Sprintf("127.0.30.%d", i+1))
		c, err := at.dial()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, at.open(who.source, who.key, "{}").String())
		whole, _ := io.ReadAll(c)
		c.Close()
		var kept []string
		for line := range strings.Lines(string(whole)) {
			if !strings.HasPrefix(line, "Date:") {
				kept = append(kept, line)
			}
		}
		answers[strings.Join(kept, "")] += who.name + "; "
	}
	if len(answers) != 1 {
		t.Errorf("there are %d different answers: %q", len(answers), answers)
	}
}

// TestDangerousEnvironment: no configuration lets a client load code into what
// policy allowed, and none can be written that does.
func TestDangerousEnvironment(t *testing.T) {
	h := startHost(t, func(h *host, c object) {
		s := h.debugSource()
		s["acceptEnv"] = []string{"*"}
		c["sources"] = object{"debug": s}
	})
	a := newAttacker(t, h, "127.0.0.1")
	s := a.mustStart("debug", loadKey(t, h.key), `{"argv":["env"],"env":{"GOOD":"1","LD_PRELOAD":"/tmp/evil.so","LD_AUDIT":"/tmp/evil.so",
		"BASH_ENV":"/tmp/evil","ENV":"/tmp/evil","GLIBC_TUNABLES":"x","PATH":"/tmp/evil","HOME":"/tmp/evil","SHELLAGENT_ORIGINAL_COMMAND":"evil"}}`)
	text, _ := s.output("\x00 to the end")
	if !strings.Contains(text, "GOOD=1\n") || strings.Contains(text, "evil") || strings.Contains(text, "GLIBC_TUNABLES") {
		t.Errorf("the program has\n%s", text)
	}
	bad := newHost(t, func(h *host, c object) {
		s := h.debugSource()
		e, _ := s["exec"].(object) // none for an ordinary user
		if e == nil {
			e = object{}
		}
		e["env"] = object{"LD_PRELOAD": "/tmp/evil.so"}
		s["exec"] = e
		c["sources"] = object{"debug": s}
	})
	if got := bad.check(); got.code == 0 || !strings.Contains(got.stderr, "LD_PRELOAD") {
		t.Errorf("LD_PRELOAD in the configuration: code %d, %q", got.code, got.stderr)
	}
}

// check runs agent check on the configuration.
func (h *host) check() result {
	cmd := exec.Command(agentBin, "check", "-c", h.config)
	cmd.Env = h.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return h.finish(cmd.Run(), cmd, &stdout, &stderr)
}

// TestNamesThatNeedEscaping: a proxy would rewrite them, so no source has one.
func TestNamesThatNeedEscaping(t *testing.T) {
	for _, name := range []string{"a b", "A", "dëbug", "a/b", "..", ".", "%41", "a?b", "a#b", "", strings.Repeat("a", 65), "a\x1b[2J"} {
		h := newHost(t, func(h *host, c object) { c["sources"] = object{name: h.debugSource()} })
		got := h.check()
		if got.code == 0 || !strings.Contains(got.stderr, "agent.json:") || strings.Contains(got.stderr, "\x1b") {
			t.Errorf("%q as the name of a source: code %d, %q", name, got.code, got.stderr)
		}
	}
}

// TestSessionSurvivesItsFront: whoever brings the front down ends no session.
func TestSessionSurvivesItsFront(t *testing.T) {
	h := startHost(t, nil)
	a := newAttacker(t, h, "127.0.0.1")
	s := a.mustStart("debug", loadKey(t, h.key), `{"argv":["cat"]}`)
	old := h.frontPID()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.waitFor("another front", func() bool { pid := h.frontPID(); return pid != 0 && pid != old && h.healthy() })
	s.close()
	again := &session{a: a, key: s.key, id: s.id, counter: s.counter}
	got := again.stream(again.signed(request{
		method: "GET", target: s.target("stream?from=0"), headers: []string{"Accept: application/vnd.shellagent.frames"},
	}))
	if got.status != http.StatusOK {
		t.Fatalf("resume: %v", got)
	}
	defer again.close()
	var typed uint64
	if err := again.echoes("still here\n", &typed); err != nil {
		t.Error(err)
	}
}
