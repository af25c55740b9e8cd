package shell

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// underCover is onTerminal with a clock for cover that the bubble has.
func underCover(cfg *SessionConfig, p *fakeProgram) {
	onTerminal(cfg, p)
	cfg.plainAlarm = true
}

const coverTick = 4 * time.Millisecond

// covered sends a request under cover and returns the next offset.
func (g *stage) covered(offset uint64, data string) uint64 {
	g.Helper()
	before := time.Now()
	next, err := g.Stdin(g.Context(), key, Stdin{Offset: offset, Cover: coverTick, Data: []byte(data)})
	if err != nil || time.Since(before) != 0 {
		g.Fatalf("covered input at %d: %v after %v", offset, err, time.Since(before))
	}
	return next
}

// writes is what leaves together: when, and how much in the binary encoding.
type writes struct {
	after time.Duration
	size  int
	text  string
}

// write takes what leaves next.
func (g *stage) write(st *Stream, since time.Time) writes {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Hour)
	defer cancel()
	var w writes
	for more := true; more; more = st.Unfinished() {
		f, err := st.Next(ctx, make([]byte, 32<<10))
		if err != nil {
			g.Fatal(err)
		}
		if w.size += FrameHeaderSize + len(f.Data); f.Type != FrameKeepalive {
			w.text += string(f.Data)
		}
	}
	w.after = time.Since(since)
	return w
}

// An observer sees the same whether a request has a key or not, whether the
// program echoes it or not, and however soon it does.
func TestUnderCoverAllRequestsLookAlike(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		st := g.attach(0)
		offset := uint64(0)
		for i, c := range []struct{ typed, echo string }{
			{"", ""}, {"a", "a"}, {"p", ""}, {"", ""}, {"l", "\r\x1b[Kprompt> l"}, {"", "late"}, {strings.Repeat("w", 96), strings.Repeat("e", coverRoom)},
		} {
			began := time.Now()
			offset = g.covered(offset, c.typed)
			if c.typed != "" {
				if got := g.reads(len(c.typed)); got != c.typed || time.Since(began) != coverWrite {
					t.Errorf("request %d: the program read %q after %v", i, got, time.Since(began))
				}
			}
			if c.echo != "" {
				g.print(c.echo)
			}
			if w := g.write(st, began); w != (writes{coverShow, CoverChunk, c.echo}) {
				t.Errorf("request %d: what leaves is %+v", i, w)
			}
			<-time.After(time.Until(began.Add(coverTick)))
		}
	})
}

func TestMoreOutputThanAChunkFollowsAtOnce(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		st := g.attach(0)
		began := time.Now()
		g.covered(0, "\r")
		g.reads(1)
		text := strings.Repeat("output ", 300)
		g.print(text)
		got := g.write(st, began)
		for len(got.text) < len(text) {
			got.text += g.write(st, began).text
		}
		if got.text != text || time.Since(began) != coverShow {
			t.Errorf("%d of %d bytes after %v", len(got.text), len(text), time.Since(began))
		}
		// And then the clock goes on.
		g.print("more")
		began = time.Now()
		g.covered(1, "")
		if w := g.write(st, began); w != (writes{coverShow, CoverChunk, "more"}) {
			t.Errorf("after much output what leaves is %+v", w)
		}
	})
}

func TestCoverEndsWithItsRequests(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		st := g.attach(0)
		began := time.Now()
		g.covered(0, "")
		g.write(st, began)
		g.print("held")
		if w := g.write(st, began); w != (writes{coverLeast, FrameHeaderSize + 4, "held"}) {
			t.Errorf("what was held leaves as %+v", w)
		}
		began = time.Now()
		g.print("now")
		if w := g.write(st, began); w != (writes{0, FrameHeaderSize + 3, "now"}) {
			t.Errorf("without cover what leaves is %+v", w)
		}
	})
}

// Requests without data move no offset, give the program nothing, and do not
// keep a session from being idle.
func TestChaffChangesNothing(t *testing.T) {
	onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
		underCover(cfg, p)
		cfg.Grant.Limits.IdleTimeout = 10 * time.Second
	}, func(g *stage) {
		st := g.attach(0)
		began := time.Now()
		for time.Since(began) < 9*time.Second {
			if next := g.covered(uint64(time.Since(began)), ""); next != 0 {
				t.Fatalf("chaff moved the offset to %d", next)
			}
			g.write(st, began)
			<-time.After(time.Second)
		}
		g.covered(0, "")
		later(2 * time.Second)
		if e, _ := g.exitOf(st); e.Reason != "idle timeout" {
			t.Errorf("exit %+v", e)
		}
	})
}

// Under cover nothing waits and nothing is refused that another request could
// make good: both would be seen.
func TestUnderCoverNextTellsWhatWasTaken(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		g.attach(0)
		if next := g.covered(5, "later"); next != 0 {
			t.Errorf("input after a gap: next is %d", next)
		}
		g.covered(0, "first")
		if next := g.covered(5, "later"); next != 10 {
			t.Errorf("the same after the gap was filled: next is %d", next)
		}
		if next := g.covered(3, "stlate"); next != 10 {
			t.Errorf("what was sent again: next is %d", next)
		}
		if got := g.reads(10); got != "firstlater" {
			t.Errorf("the program read %q", got)
		}
		// A program that does not read.
		next := uint64(10)
		for ; next < maxInput; next = g.covered(next, strings.Repeat("x", MaxCovered)) {
		}
		if again := g.covered(next, "x"); again > next+1 {
			t.Errorf("from %d to %d", next, again)
		}
		last := g.covered(g.StdinNext(), strings.Repeat("x", MaxCovered))
		if again := g.covered(last, "y"); again != last {
			t.Errorf("a full queue took more: %d after %d", again, last)
		}
		_, err := g.Stdin(g.Context(), "somebody else", Stdin{Cover: coverTick})
		wantReason(t, err, ReasonSessionOwner)
		go io.Copy(io.Discard, g.program.in.r)
	})
}

func TestProgramEndsUnderCover(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		st := g.attach(0)
		g.covered(0, "\x04")
		g.reads(1)
		g.print("bye")
		g.program.end(Exit{Code: 3})
		var frames []FrameType
		for f := (Frame{}); f.Type != FrameExit; {
			var err error
			if f, err = st.Next(g.Context(), make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
			frames = append(frames, f.Type)
		}
		if !slices.Contains(frames, FrameStdout) || st.Unfinished() {
			t.Errorf("frames %v", frames)
		}
		_, err := g.Stdin(g.Context(), key, Stdin{Offset: 1, Cover: coverTick})
		wantReason(t, err, ReasonSessionEnded)
	})
}

func TestAnotherStreamComesUnderCoverToo(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		g.attach(0)
		g.covered(0, "")
		st := g.attach(0)
		began := time.Now()
		g.covered(0, "k")
		g.reads(1)
		g.print("k")
		if w := g.write(st, began); w.size != CoverChunk || w.text != "k" {
			t.Errorf("what leaves is %+v", w)
		}
	})
}

// Where requests are rare, because the way is long, output does not wait for them.
func TestChunksBetweenRareRequests(t *testing.T) {
	onStage(t, underCover, func(g *stage) {
		st := g.attach(0)
		for range 3 {
			began := time.Now()
			if _, err := g.Stdin(g.Context(), key, Stdin{Cover: 13 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			for _, after := range []time.Duration{coverShow, coverShow + coverSoon, coverShow + coverEvery, coverShow + 2*coverEvery} {
				if w := g.write(st, began); w.after != after || w.size != CoverChunk {
					t.Errorf("what leaves is %+v, want it after %v", w, after)
				}
			}
			<-time.After(time.Until(began.Add(12500 * time.Microsecond)))
		}
	})
}
