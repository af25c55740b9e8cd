package process

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

func TestHangUp(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		for _, term := range []*shell.Terminal{nil, terminal80()} {
			t.Run(fmt.Sprintf("obeyed, terminal %v", term != nil), func(t *testing.T) {
				word := unique()
				s := begin(t, h, script(self(t), "trap 'echo goodbye; exit 5' HUP; sleep "+word+" & echo ready; wait"), term)
				s.out.await(t, "ready")
				s.HangUp(patience)
				if exit := s.finish(); exit != (shell.Exit{Code: 5}) || !strings.Contains(s.out.String(), "goodbye") {
					t.Errorf("%+v, %q", exit, s.out)
				}
				if pids := running(t, word); len(pids) > 0 {
					t.Errorf("%v still run", pids)
				}
			})
			t.Run(fmt.Sprintf("ignored, terminal %v", term != nil), func(t *testing.T) {
				word := unique()
				s := begin(t, h, script(self(t), "trap '' HUP TERM; echo ready; while :; do sleep "+word+"; done"), term)
				s.out.await(t, "ready")
				eventually(t, "sleep runs", func() bool { return len(running(t, word)) > 0 })
				begun := time.Now()
				s.HangUp(200 * time.Millisecond)
				if exit := s.finish(); exit != (shell.Exit{Code: 137, Signal: "KILL"}) {
					t.Errorf("%+v", exit)
				}
				if took := time.Since(begun); took < 200*time.Millisecond {
					t.Errorf("killed after %v", took)
				}
			})
			t.Run(fmt.Sprintf("hastened, terminal %v", term != nil), func(t *testing.T) {
				s := begin(t, h, script(self(t), "trap '' HUP; echo ready; while :; do sleep 0.1; done"), term)
				s.out.await(t, "ready")
				s.HangUp(time.Hour)
				s.HangUp(0)
				s.HangUp(time.Hour)
				if exit := s.finish(); exit.Signal != "KILL" {
					t.Errorf("%+v", exit)
				}
			})
			t.Run(fmt.Sprintf("stopped, terminal %v", term != nil), func(t *testing.T) {
				s := begin(t, h, script(self(t), "echo ready; kill -STOP $$; sleep 1000"), term)
				s.out.await(t, "ready")
				eventually(t, "stopped", func() bool {
					st, err := readStat(s.PID())
					return err == nil && st.state == 'T'
				})
				s.HangUp(time.Hour)
				if exit := s.finish(); exit.Signal != "HUP" {
					t.Errorf("%+v", exit)
				}
			})
		}
	})
}

// A hang-up ends the session even where what holds its pipes is kept.
func TestHangUpCutsOffWhatIsKept(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		word := unique()
		g := script(self(t), "echo early; (trap '' HUP; exec sleep "+word+") & exit 4")
		g.Limits.KillOnExit = false
		s := begin(t, h, g, nil)
		eventually(t, "the job runs", func() bool { return len(running(t, word)) > 0 })
		if exit := s.Wait(); exit.Code != 4 {
			t.Errorf("%+v", exit)
		}
		s.HangUp(0)
		if out := s.out.awaitEnd(t); out != "early\n" {
			t.Errorf("%q", out)
		}
		s.err.awaitEnd(t)
		s.Close()
		pids := running(t, word)
		if len(pids) != 1 {
			t.Fatalf("the job was ended: %v", pids)
		}
		_ = unix.Kill(pids[0], unix.SIGKILL)
		eventually(t, "the job is gone", s.tree.empty)
	})
}
