package process

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// setOOMScore gives the tests a score until the end of this one, if it may.
func setOOMScore(t *testing.T, score string) bool {
	t.Helper()
	before, err := os.ReadFile(oomScoreFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(oomScoreFile, []byte(score), 0); err != nil {
		t.Log("NOT RUN: to be protected from the OOM killer takes CAP_SYS_RESOURCE:", err)
		return false
	}
	t.Cleanup(func() {
		if err := os.WriteFile(oomScoreFile, before, 0); err != nil {
			t.Error(err)
		}
	})
	return true
}

func oomScoreNow(t *testing.T) string {
	t.Helper()
	now, err := os.ReadFile(oomScoreFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(now))
}

// A protected agent gives none of its protection away: not even to a program
// that forks before anything could be undone, nor for it to take.
func TestOOMProtectionIsNotInherited(t *testing.T) {
	who := other(t)
	h := newHost(t, HostConfig{})
	if !setOOMScore(t, "-900") {
		return // TestOOMScoreAcrossTheFork needs no privilege
	}
	const ask = `(cat /proc/self/oom_score_adj) & cat /proc/self/oom_score_adj; wait
		echo -900 2>/dev/null >/proc/self/oom_score_adj && echo "took it"; exit 0`
	done := make(chan string, 20)
	for range cap(done) {
		go func() {
			out, _ := result(t, h, script(who, ask), nil)
			done <- out
		}()
	}
	for range cap(done) {
		if out := <-done; !strings.HasPrefix(out, "0\n0\n") || strings.Contains(out, "took it") {
			t.Errorf("%q", out)
		}
	}
	if now := oomScoreNow(t); now != "-900" {
		t.Errorf("the agent is left with %s", now)
	}
}

// The same with scores that nobody needs a privilege for.
func TestOOMScoreAcrossTheFork(t *testing.T) {
	setOOMScore(t, "100")
	done := make(chan string, 20)
	for range cap(done) {
		go func() {
			var out []byte
			err := atOOMScore(200, func() {
				out, _ = exec.Command("sh", "-c", "(cat /proc/self/oom_score_adj) & cat /proc/self/oom_score_adj; wait").Output()
			})
			if err != nil {
				out = []byte(err.Error())
			}
			done <- string(out)
		}()
	}
	for range cap(done) {
		if out := <-done; out != "200\n200\n" {
			t.Errorf("%q", out)
		}
	}
	if now := oomScoreNow(t); now != "100" {
		t.Errorf("the agent is left with %s", now)
	}
	if err := atOOMScore(100, func() {
		if now := oomScoreNow(t); now != "100" {
			t.Errorf("an agent that is not protected was changed to %s", now)
		}
	}); err != nil {
		t.Error(err)
	}
}
