package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStdinOffsets(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     Stdin
		next   uint64
		reason Reason
	}{
		{"in order", Stdin{Offset: 3, Data: []byte("de")}, 5, ""},
		{"repeated", Stdin{Offset: 0, Data: []byte("abc")}, 3, ""},
		{"repeated and more", Stdin{Offset: 1, Data: []byte("bcd")}, 4, ""},
		{"old part of it", Stdin{Offset: 1, Data: []byte("b")}, 3, ""},
		{"nothing", Stdin{}, 3, ""},
		{"a gap", Stdin{Offset: 4, Data: []byte("e")}, 3, ReasonOffset},
		{"a gap before the end", Stdin{Offset: 4, EOF: true}, 3, ReasonOffset},
		{"the end", Stdin{Offset: 3, EOF: true}, 3, ""},
		{"the end with bytes", Stdin{Offset: 2, Data: []byte("cde"), EOF: true}, 5, ""},
		{"an end that is passed", Stdin{Offset: 1, Data: []byte("b"), EOF: true}, 3, ReasonBody},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(g *stage) {
				g.typing(0, "abc")
				next, err := g.Stdin(g.Context(), key, c.in)
				if next != c.next {
					g.Errorf("next %d, want %d", next, c.next)
				}
				if c.reason == "" && err != nil {
					g.Error(err)
				} else if c.reason != "" {
					wantReason(g, err, c.reason)
				}
				var gap *OffsetError
				if c.reason == ReasonOffset && (!errors.As(err, &gap) || gap.Next != 3) {
					g.Errorf("a gap without the expected offset: %v", err)
				}
				if got := g.reads(int(c.next)); got != "abcde"[:c.next] {
					g.Errorf("the program read %q", got)
				}
			})
		})
	}
}

func TestStdinEndIsTheEnd(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		end := Stdin{Offset: 0, Data: []byte("abc"), EOF: true}
		for range 3 { // repeated, it is as good as the first
			if next, err := g.Stdin(g.Context(), key, end); err != nil || next != 3 {
				g.Fatal(next, err)
			}
		}
		_, err := g.Stdin(g.Context(), key, Stdin{Offset: 3, Data: []byte("d")})
		wantReason(g, err, ReasonBody)
		_, err = g.Stdin(g.Context(), key, Stdin{Offset: 9, EOF: true})
		wantReason(g, err, ReasonBody)
		got, err := io.ReadAll(g.program.in.r)
		if err != nil || string(got) != "abc" {
			g.Errorf("the program read %q, %v", got, err)
		}
		synctest.Wait()
		if g.program.shut != 1 || g.input.feeding {
			g.Errorf("input was ended %d times; still writing: %v", g.program.shut, g.input.feeding)
		}
	})
}

func TestStdinFullQueueAnswersInTime(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		data := bytes.Repeat([]byte("0123456789"), 40<<10) // 400 KiB
		begin := time.Now()
		next, err := g.Stdin(g.Context(), key, Stdin{Data: data})
		if err != nil || next != maxInput {
			g.Fatalf("next %d, %v; want %d taken and no error", next, err, maxInput)
		}
		if took := time.Since(begin); took != stdinPatience {
			g.Errorf("answered after %v", took)
		}
		ctx, cancel := context.WithTimeout(g.Context(), time.Second)
		defer cancel()
		if next, err = g.Stdin(ctx, key, Stdin{Offset: next, Data: data[next:]}); err != nil || next != maxInput {
			g.Errorf("until the context is done: %d, %v", next, err)
		}
		read := make(chan string)
		go func() { read <- g.reads(len(data)) }()
		if next, err = g.Stdin(g.Context(), key, Stdin{Offset: next, Data: data[next:]}); err != nil || next != uint64(len(data)) {
			g.Errorf("with a program that reads: %d, %v", next, err)
		}
		if got := <-read; got != string(data) {
			g.Error("the program read something else")
		}
		synctest.Wait()
		if g.input.queued != 0 || len(g.input.queue) != 0 || g.input.feeding {
			g.Error("idle input holds memory or a goroutine")
		}
	})
}

// Bulk input has several requests in flight; while the first waits for room, the
// next one waits for its turn.
func TestStdinSeveralInFlight(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		const part = 200 << 10
		data := bytes.Repeat([]byte("abcdefg "), 5*part/8)
		answers := make(chan error, 5)
		for i := range 5 {
			go func() {
				at := uint64(i * part)
				next, err := g.Stdin(g.Context(), key, Stdin{Offset: at, Data: data[at : at+part]})
				if err == nil && next < at+part {
					err = errors.New("was not taken as a whole")
				}
				answers <- err
			}()
			synctest.Wait()
		}
		if got := g.reads(len(data)); got != string(data) {
			g.Error("the program read something else")
		}
		for range 5 {
			if err := <-answers; err != nil {
				g.Error(err)
			}
		}
	})
}

// Requests on several connections overtake each other.
func TestStdinOutOfOrder(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		answers := make(chan error, 3)
		for _, at := range []uint64{8, 4, 0} {
			go func() {
				next, err := g.Stdin(g.Context(), key, Stdin{Offset: at, Data: []byte("abcdefghijkl")[at : at+4]})
				if err == nil && next < at+4 {
					err = errors.New("was not taken as a whole")
				}
				answers <- err
			}()
			synctest.Wait()
		}
		if got := g.reads(12); got != "abcdefghijkl" {
			g.Errorf("the program read %q", got)
		}
		for range 3 {
			if err := <-answers; err != nil {
				g.Error(err)
			}
		}
		begin := time.Now()
		_, err := g.Stdin(g.Context(), key, Stdin{Offset: 20, Data: []byte("x")})
		wantReason(g, err, ReasonOffset)
		if took := time.Since(begin); took != gapPatience {
			g.Errorf("a gap that nothing fills was told after %v", took)
		}
	})
}

// When the one in front gives up, who waits behind it is told from where.
func TestStdinTurnThatNeverComes(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		go func() { _, _ = g.Stdin(g.Context(), key, Stdin{Data: make([]byte, maxInput+10)}) }()
		synctest.Wait()
		later(time.Second)
		begin := time.Now()
		_, err := g.Stdin(g.Context(), key, Stdin{Offset: maxInput + 10, Data: []byte("x")})
		wantReason(g, err, ReasonOffset)
		if took := time.Since(begin); took != stdinPatience {
			g.Errorf("told after %v", took)
		}
	})
}

func TestStdinOfAProgramThatDoesNotRead(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		g.program.in.r.Close() // EPIPE from now on
		var at uint64
		for range 100 {
			next, err := g.Stdin(g.Context(), key, Stdin{Offset: at, Data: make([]byte, 64<<10)})
			if err != nil || next != at+64<<10 {
				g.Fatalf("next %d, %v: a program that does not read is no error", next, err)
			}
			at = next
			synctest.Wait()
		}
		if next, err := g.Stdin(g.Context(), key, Stdin{Offset: at, EOF: true}); err != nil || next != at {
			g.Errorf("its end: %d, %v", next, err)
		}
		synctest.Wait()
		if len(g.input.queue) != 0 {
			g.Error("input that nobody reads is kept")
		}
	})
}

func TestStdinAfterTheEnd(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		waits := make(chan error)
		go func() {
			_, err := g.Stdin(g.Context(), key, Stdin{Data: make([]byte, maxInput+1)})
			waits <- err
		}()
		synctest.Wait()
		g.program.end(Exit{})
		wantReason(g, <-waits, ReasonSessionEnded)
		<-g.Done()
		_, err := g.Stdin(g.Context(), key, Stdin{Offset: g.StdinNext(), Data: []byte("ls\n")})
		wantReason(g, err, ReasonSessionEnded)
		wantReason(g, g.Control(g.Context(), key, ControlRequest{Seq: 1, Signal: &SignalRequest{Name: "INT"}}), ReasonSessionEnded)
		if err := g.Control(g.Context(), key, ControlRequest{Seq: 2, Resize: &Winsize{Cols: 1}}); err != nil {
			g.Errorf("a resize too late: %v", err)
		}
	})
}

func TestSignalFollowsItsInput(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		signal := func(seq uint64, name string, after uint64) {
			err := g.Control(g.Context(), key, ControlRequest{Seq: seq, Signal: &SignalRequest{Name: name, After: after}})
			if err != nil {
				g.Error(err)
			}
		}
		go signal(1, "USR1", 3)
		synctest.Wait()
		later(time.Second)
		if len(g.program.sent()) != 0 {
			g.Fatal("a signal came before its input")
		}
		g.typing(0, "abc")
		synctest.Wait()
		g.reads(3)
		synctest.Wait()
		if got := g.program.sent(); !slices.Equal(got, []string{"USR1"}) {
			g.Fatalf("sent %v after the input was read", got)
		}
		signal(2, "INT", 3)
		// A program that does not read is interrupted all the same.
		g.typing(3, strings.Repeat("x", 1000))
		begin := time.Now()
		signal(3, "QUIT", 1003)
		if took := time.Since(begin); took != stuckInput {
			g.Errorf("a signal overtook stuck input after %v", took)
		}
		begin = time.Now()
		signal(4, "TERM", 5000) // input that never comes
		if took := time.Since(begin); took != signalPatience {
			g.Errorf("a signal waited %v for input that never came", took)
		}
		if got := g.program.sent(); !slices.Equal(got, []string{"USR1", "INT", "QUIT", "TERM"}) {
			g.Errorf("sent %v", got)
		}
	})
}

func TestSignalWaitsWhileInputMoves(t *testing.T) {
	onStage(t, nil, func(g *stage) {
		g.typing(0, strings.Repeat("x", 128<<10))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = g.Control(g.Context(), key, ControlRequest{Seq: 1, Signal: &SignalRequest{Name: "INT", After: 128 << 10}})
		}()
		for range 2 {
			later(stuckInput - time.Millisecond)
			if len(g.program.sent()) != 0 {
				g.Fatal("a signal overtook input that moves")
			}
			g.reads(64 << 10)
		}
		<-done
	})
}

// TestNoInput: a program whose client has no input reads an end without being
// sent one.
func TestNoInput(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, _ *fakeProgram) { cfg.Request.NoInput = true }, func(g *stage) {
		if n, err := g.program.in.r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			g.Errorf("the program read %d bytes and %v, want an end", n, err)
		}
		if _, err := g.Stdin(g.Context(), key, Stdin{Data: []byte("a")}); err == nil {
			g.Error("input after its end was taken")
		}
	})
}
