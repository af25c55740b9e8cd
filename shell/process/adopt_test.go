package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// unread starts a program that nobody reads from yet.
func unread(t *testing.T, h *Host, g shell.Grant, term *shell.Terminal) *Process {
	t.Helper()
	p, err := h.Start(context.Background(), g, term, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cross makes of a process what the next image of the agent has. Its
// descriptors are copies here, since the older image's are not gone.
func cross(t *testing.T, h *Host, p *Process) *Process {
	t.Helper()
	p.Suspend()
	return crossSuspended(t, h, p)
}

func crossSuspended(t *testing.T, h *Host, p *Process) *Process {
	t.Helper()
	text, err := json.Marshal(p.State())
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	if before := p.State(); !reflect.DeepEqual(before.Descriptors(), s.Descriptors()) {
		t.Errorf("descriptors %v, then %v", before.Descriptors(), s.Descriptors())
	}
	copied := []*int{&s.PIDFD}
	if s.Terminal != nil {
		copied = append(copied, &s.Terminal.Master)
	} else {
		copied = append(copied, &s.Pipes.In, &s.Pipes.Out.FD, &s.Pipes.Err.FD)
	}
	if s.Channel > 0 {
		copied = append(copied, &s.Channel)
	}
	for _, fd := range copied {
		if *fd < 0 {
			continue
		}
		if *fd, err = unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			t.Fatal(err)
		}
	}
	next, err := h.Adopt(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The older image is no more.
	p.streams.close()
	_ = p.channel.Close()
	_ = p.pidfd.Close()
	p.reaped = true
	p.mu.Unlock()
	next.Unsuspend()
	return next
}

// goesOn reads what an adopted process writes. The test's end closes it.
func goesOn(t *testing.T, p *Process) *started {
	t.Helper()
	s := &started{Process: p, t: t}
	s.out, s.err = collect(p.Output(shell.FrameStdout)), collect(p.Output(shell.FrameStderr))
	t.Cleanup(func() {
		p.HangUp(0)
		s.finish()
	})
	return s
}

func TestAdoptedProgramGoesOn(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		for _, term := range []*shell.Terminal{nil, terminal80()} {
			t.Run(fmt.Sprintf("terminal %v", term != nil), func(t *testing.T) {
				word := unique()
				p := unread(t, h, script(self(t), "echo ready $$; setsid sleep "+word+" & read x; echo got $x; stty size; exit 7"), term)
				for range 3 {
					p = cross(t, h, p)
				}
				s := goesOn(t, p)
				s.out.await(t, fmt.Sprintf("ready %d", p.PID()))
				eventually(t, "its child runs", func() bool { return len(running(t, word)) == 1 })
				if err := s.Resize(shell.Winsize{Cols: 101, Rows: 37}); err != nil {
					t.Error(err)
				}
				s.give("it\n")
				s.grace = 20 * time.Millisecond
				exit := make(chan shell.Exit, 1)
				go func() { exit <- s.Wait() }()
				s.out.await(t, "got it")
				if e := <-exit; e != (shell.Exit{Code: 7}) {
					t.Errorf("%+v", e)
				}
				if term != nil {
					s.out.awaitEnd(t)
				}
				s.Close()
				out := s.out.awaitEnd(t)
				if !strings.Contains(out, "got it") || term != nil && !strings.Contains(out, "37 101") {
					t.Errorf("wrote %q", out)
				}
				if pids := running(t, word); len(pids) > 0 {
					t.Errorf("%v still run", pids)
				}
			})
		}
	})
}

func TestAdoptedSignalsAndExits(t *testing.T) {
	h := newHost(t, HostConfig{NoCgroup: true})
	for text, want := range map[string]shell.Exit{
		"exit 0":                     {},
		"exit 255":                   {Code: 255},
		"ulimit -c 0; kill -SEGV $$": {Code: 139, Signal: "SEGV"},
		"trap 'exit 5' TERM; echo trapped; while :; do :; done": {Code: 5},
	} {
		p := cross(t, h, unread(t, h, script(self(t), "echo ready; read x; "+text), nil))
		s := goesOn(t, p)
		s.give("\n")
		if want.Code == 5 {
			s.out.await(t, "trapped")
			if err := s.Signal("TERM"); err != nil {
				t.Error(err)
			}
		}
		if exit := s.finish(); exit != want {
			t.Errorf("%s: %+v, want %+v", text, exit, want)
		}
	}
}

func exited(pid int) bool {
	s, err := readStat(pid)
	return err != nil || s.dead()
}

// The program's end is not noticed while it is suspended, nor lost.
func TestEndDuringTheUpgrade(t *testing.T) {
	h := newHost(t, HostConfig{})
	p := unread(t, h, script(self(t), "exit 9"), terminal80())
	eventually(t, "it ends", func() bool { return exited(p.PID()) })
	s := goesOn(t, cross(t, h, p))
	if exit := s.finish(); exit.Code != 9 {
		t.Errorf("%+v", exit)
	}
}

// What was reaped by the older image is told by the newer one.
func TestReapedBeforeTheUpgrade(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		p := unread(t, h, script(self(t), "sleep 100 & echo last words; exit 3"), nil)
		if exit := p.Wait(); exit.Code != 3 {
			t.Fatalf("%+v", exit)
		}
		p = cross(t, h, p)
		s := goesOn(t, p)
		if exit := s.Wait(); exit.Code != 3 {
			t.Errorf("%+v", exit)
		}
		s.out.await(t, "last words")
		s.grace = 0
		s.Close()
	})
}

// A hang-up that is under way is not told again, and kills when it would have.
func TestHangUpDuringTheUpgrade(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		p := unread(t, h, script(self(t), "trap 'echo told' HUP; echo ready; while :; do read -t 1 x; done"), nil)
		conn := p.streams.(*pipes).out.conn
		if err := waitReadable(conn); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		p.HangUp(2 * time.Second)
		eventually(t, "it is told", func() bool { return p.ending.state().Told })
		s := goesOn(t, cross(t, h, p))
		exit := s.finish()
		if took := time.Since(begin); exit.Signal != "KILL" || took < 1900*time.Millisecond || took > 10*time.Second {
			t.Errorf("%+v after %v", exit, took)
		}
		if out := s.out.String(); strings.Count(out, "told") != 1 {
			t.Errorf("wrote %q", out)
		}
	})
}

// Input that waits for a program that does not read stops where it is.
func TestSuspendedInput(t *testing.T) {
	h := newHost(t, HostConfig{})
	want := bytes.Repeat([]byte("0123456789abcde\n"), 64<<10)
	for _, term := range []*shell.Terminal{nil, terminal80()} {
		t.Run(fmt.Sprintf("terminal %v", term != nil), func(t *testing.T) {
			p := unread(t, h, script(self(t), "stty raw -echo 2>/dev/null; echo ready; read x < <(sleep 0.1); exec head -c 1048576"), term)
			rest := want
			for range 3 {
				in, wrote := p.Stdin(), make(chan int, 1)
				go func() {
					n, err := in.Write(rest)
					if err != nil && !errors.Is(err, shell.ErrSuspended) {
						t.Error(err)
					}
					wrote <- n
				}()
				// Its buffers are full, or it has begun to read.
				eventually(t, "a write", func() bool { return pending(p) > 0 || exited(p.PID()) })
				p.Suspend()
				rest = rest[<-wrote:]
				p = crossSuspended(t, h, p)
			}
			s := goesOn(t, p)
			if _, err := s.Stdin().Write(rest); err != nil {
				t.Fatal(err)
			}
			exit := s.finish()
			_, got, _ := strings.Cut(s.out.String(), "ready")
			if got = strings.TrimLeft(got, "\r\n"); exit.Code != 0 || got != string(want) {
				t.Errorf("%+v, %d of %d bytes came back", exit, len(got), len(want))
			}
		})
	}
}

// pending is how much input waits for the program, or 1 where that cannot be told.
func pending(p *Process) int {
	pipe, ok := p.streams.(*pipes)
	if !ok {
		return 1
	}
	n, err := unix.IoctlGetInt(descriptor(pipe.in.File), unix.TIOCINQ)
	if err != nil {
		return 1
	}
	return n
}

// The end of a terminal's input is typed once, in as many pieces as it takes.
func TestEndOfInputCrosses(t *testing.T) {
	h := newHost(t, HostConfig{})
	// The leader goes on: when it ends, the kernel may drop what it has not passed
	// on yet to the master (pty_flush_buffer).
	p := unread(t, h, script(self(t), "stty -echo; echo ready; cat; echo; echo ended; exec sleep 1000"), terminal80())
	if err := waitReadable(p.streams.(*terminal).conn); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p.Stdin(), "part of a line"); err != nil {
		t.Fatal(err)
	}
	p.Suspend()
	if err := p.Stdin().Close(); !errors.Is(err, shell.ErrSuspended) {
		t.Fatalf("got %v", err)
	}
	p.Unsuspend()
	s := goesOn(t, cross(t, h, p))
	if err := s.Stdin().Close(); err != nil {
		t.Fatal(err)
	}
	s.out.await(t, "ended")
	if !strings.Contains(s.out.String(), "part of a line") {
		t.Errorf("%q", s.out)
	}
}

func TestWhatWasLeftCrosses(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		word := unique()
		g := script(self(t), "setsid sleep "+word+" </dev/null >/dev/null 2>&1 & echo ready")
		g.Limits.KillOnExit = false
		s := begin(t, h, g, nil)
		s.finish()
		// Only now: what is left may still be the shell that is to become it.
		eventually(t, "what is left runs", func() bool { return len(running(t, word)) == 1 })
		text, err := json.Marshal(h.State())
		if err != nil {
			t.Fatal(err)
		}
		var st HostState
		if err := json.Unmarshal(text, &st); err != nil || len(st.Left)+len(st.Exempt) == 0 {
			t.Fatalf("%s: %v", text, err)
		}
		next := newHost(t, HostConfig{NoCgroup: h.groups == nil})
		if err := next.Restore(st); err != nil {
			t.Fatal(err)
		}
		other := begin(t, next, script(self(t), "echo ready"), nil)
		other.finish()
		if pids := running(t, word); len(pids) != 1 {
			t.Errorf("%v run", pids)
		}
		for _, pid := range running(t, word) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
}

func TestAdoptRefuses(t *testing.T) {
	h := newHost(t, HostConfig{NoCgroup: true})
	good := func() State {
		return State{PID: 1 << 22, PIDFD: -1, Pipes: &PipesState{In: 3, Out: OutputState{FD: 4}, Err: OutputState{FD: 5}}, Tree: TreeState{treeNote: treeNote{Mark: "m"}}}
	}
	if st := good(); st.Check() != nil {
		t.Fatal(st.Check())
	}
	for name, spoil := range map[string]func(*State){
		"init":            func(s *State) { s.PID = 1 },
		"no streams":      func(s *State) { s.Pipes = nil },
		"two streams":     func(s *State) { s.Terminal = &TerminalState{Master: 9} },
		"standard error":  func(s *State) { s.Pipes.In = 2 },
		"closed outputs":  func(s *State) { s.Pipes.Out.FD = -1 },
		"no tree":         func(s *State) { s.Tree.Mark = "" },
		"foreign cgroup":  func(s *State) { s.Tree.Mark, s.Tree.Cgroup = "", "/sys/fs/cgroup/system.slice" },
		"relative note":   func(s *State) { s.Note = &NoteState{File: "../../etc/passwd"} },
		"not open at all": func(s *State) { s.Pipes.In = 1 << 19 },
	} {
		st := good()
		spoil(&st)
		if p, err := h.Adopt(st, 0); err == nil {
			t.Errorf("%s: adopted %+v", name, p.State())
		}
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"pid":77,"pidfd":-1,"pipes":{"in":3,"out":{"fd":4},"err":{"fd":5}},"tree":{"mark":"m"}}`))
	f.Add([]byte(`{"pid":77,"pidfd":9,"terminal":{"master":4,"rest":"BAQ="},"tree":{"cgroup":"/sys/fs/cgroup/x/shellagent-abc"},"note":{"file":"/s/processes/a.json"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s State
		if json.Unmarshal(text, &s) != nil || s.Check() != nil {
			return
		}
		for _, fd := range s.Descriptors() {
			if fd < 3 {
				t.Errorf("descriptor %d", fd)
			}
		}
	})
}
