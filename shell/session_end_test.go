package shell

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgramThatIgnoresHangUp(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
		p.stubborn = true
		cfg.Grace = 3 * time.Second
	}, func(g *stage) {
		st := g.attach(0)
		begin := time.Now()
		g.HangUp("killed by its owner")
		g.HangUp("another reason")
		if time.Since(begin) != 0 {
			g.Error("HangUp waited")
		}
		e, _ := g.exitOf(st)
		if e.Signal != "KILL" || e.Reason != "killed by its owner" || time.Since(begin) != 3*time.Second {
			g.Errorf("exit %+v after %v", e, time.Since(begin))
		}
	})
}

func TestBackgroundJobDoesNotHoldATerminal(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
		onTerminal(cfg, p)
		p.holdsOutput = true
	}, func(g *stage) {
		st := g.attach(0)
		go func() { _, _ = g.program.out.w.Write([]byte("last words")) }()
		g.program.end(Exit{Code: 5})
		begin := time.Now()
		g.want(st, FrameStdout, 10, "last words")
		g.want(st, FrameExit, 11, `{"code":5}`)
		if took := time.Since(begin); took > drainQuiet+2*drainPoll {
			g.Errorf("told after %v", took)
		}
	})
}

func TestBackgroundJobThatWritesDoesNotHoldATerminal(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
		onTerminal(cfg, p)
		p.holdsOutput = true
	}, func(g *stage) {
		st := g.attach(0)
		go func() {
			for {
				if _, err := g.program.out.w.Write([]byte(strings.Repeat("noise ", 10))); err != nil {
					return
				}
				<-time.After(10 * time.Millisecond)
			}
		}()
		later(time.Second)
		g.program.end(Exit{})
		begin := time.Now()
		g.exitOf(st)
		if took := time.Since(begin); took > drainTime+2*drainPoll {
			g.Errorf("told after %v", took)
		}
		<-g.Done()
	})
}

func TestPipesAreWaitedFor(t *testing.T) {
	onStage(t, func(_ *SessionConfig, p *fakeProgram) { p.holdsOutput = true }, func(g *stage) {
		st := g.attach(0)
		g.program.end(Exit{Code: 1})
		g.stays(5 * time.Minute)
		g.print("late") // as under sshd: a child still had the pipe
		g.want(st, FrameStdout, 4, "late")
		g.program.out.w.Close()
		g.program.err.w.Close()
		g.want(st, FrameExit, 5, `{"code":1}`)
	})
}

func TestHangUpDoesNotWaitForPipes(t *testing.T) {
	onStage(t, func(_ *SessionConfig, p *fakeProgram) { p.holdsOutput = true }, func(g *stage) {
		st := g.attach(0)
		g.program.end(Exit{Code: 1})
		g.stays(time.Minute)
		begin := time.Now()
		g.HangUp("killed by its owner")
		if e, _ := g.exitOf(st); e.Code != 1 || e.Reason != "killed by its owner" {
			g.Errorf("exit %+v", e)
		}
		if took := time.Since(begin); took > drainQuiet+2*drainPoll {
			g.Errorf("told after %v", took)
		}
	})
}

// A client that reads slowly gets everything, long after the program's end.
func TestSlowClientLosesNothingAtTheEnd(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
		onTerminal(cfg, p)
		cfg.Backlog = 16 << 10
	}, func(g *stage) {
		st := g.attach(0)
		const total = 100 << 10
		go func() {
			_, _ = g.program.out.w.Write([]byte(strings.Repeat("x", total)))
			g.program.end(Exit{Code: 4})
		}()
		var got uint64
		for {
			later(5 * time.Second)
			f := g.next(st)
			if f.Type == FrameExit {
				break
			}
			got += uint64(len(f.Data))
			g.ack(f.End)
		}
		if got != total {
			g.Errorf("%d bytes of %d", got, total)
		}
	})
}

// A client that never reads nor acks costs its backlog, and is forgotten.
func TestClientThatNeverReads(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) { cfg.Backlog = 64 << 10 }, func(g *stage) {
		g.attach(0)
		go func() {
			for {
				if _, err := g.program.out.w.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if end := g.backlog.End(); end > 64<<10 {
			g.Errorf("%d bytes are kept, the limit is %d", end, 64<<10)
		}
		later(silence + time.Minute + drainTime + time.Second)
		<-g.Done()
		later(retention)
		<-g.Gone()
	})
}

// Once nobody wants the session any more, output that nobody takes is no reason
// to keep its program.
func TestDetachedWithAFullBacklogEnds(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
		onTerminal(cfg, p)
		p.holdsOutput = true
		cfg.Backlog = 1 << 10
	}, func(g *stage) {
		go func() { _, _ = g.program.out.w.Write(make([]byte, 1<<20)) }()
		g.attach(0).Close()
		g.program.end(Exit{})
		later(50 * time.Second)
		select {
		case <-g.Done():
			g.Fatal("ended before linger was over, with output that its client may want")
		default:
		}
		later(20 * time.Second)
		<-g.Done()
	})
}

var errBroken = errors.New("broken")

// failingReader is an output that breaks.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestOutputThatReturnsNothingEnds(t *testing.T) {
	s := &Session{backlog: NewBacklog(0), started: time.Now()}
	s.read(FrameStdout, failingReader{})
	s.read(FrameStdout, failingReader{err: errBroken})
}

// readyOutput is an output that is waited for without a buffer.
type readyOutput struct {
	data  chan []byte
	left  []byte
	sizes []int
}

func (r *readyOutput) WaitReadable() error {
	if len(r.left) == 0 {
		var open bool
		if r.left, open = <-r.data; !open {
			return errBroken
		}
	}
	return nil
}

func (r *readyOutput) Read(p []byte) (int, error) {
	n := copy(p, r.left)
	r.left = r.left[n:]
	r.sizes = append(r.sizes, len(p))
	return n, nil
}

func TestReadinessIsWaitedForWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Session{backlog: NewBacklog(0), started: time.Now()}
		mustCursor(t, s.backlog, Holding, 0)
		r := &readyOutput{data: make(chan []byte)}
		done := make(chan struct{})
		go func() { defer close(done); s.read(FrameStdout, r) }()
		synctest.Wait()
		if len(s.backlog.segs) != 0 {
			t.Error("memory is held while nothing is there")
		}
		want := strings.Repeat("0123456789", 30<<10)
		r.data <- []byte(want)
		r.data <- nil // a wait that was for nothing
		close(r.data)
		<-done
		c := mustCursor(t, s.backlog, following, 0)
		var got strings.Builder
		for {
			f, ok, _ := c.take(make([]byte, MaxFrameData))
			if !ok {
				break
			}
			got.Write(f.Data)
		}
		if got.String() != want {
			t.Error("read something else")
		}
		for _, n := range r.sizes {
			if n < segmentSizes[0]/16-recordHeader {
				t.Errorf("a read into %d bytes", n)
			}
		}
	})
}
