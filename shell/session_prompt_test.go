package shell

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
)

// promptProgram is a fakeProgram that takes some of its input without waiting.
type promptProgram struct {
	*fakeProgram
	room  int    // bytes that it takes at once
	taken string // what it took so
}

func (p *promptProgram) Stdin() io.WriteCloser { return promptStdin{fakeStdin{p.fakeProgram}, p} }

type promptStdin struct {
	fakeStdin
	p *promptProgram
}

func (w promptStdin) WritePrompt(b []byte) (int, error) {
	n := min(len(b), w.p.room)
	w.p.room -= n
	w.p.taken += string(b[:n])
	return n, nil
}

// A program is given a key before its sender is answered; what it does not take
// at once follows in order, and what is more than a key never holds its sender up.
func TestAKeyIsGivenBeforeItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &promptProgram{fakeProgram: newFakeProgram(), room: 3}
		s := NewSession(SessionConfig{ID: key, Remote: home}, p)
		var rest []byte
		go func() { rest, _ = io.ReadAll(p.in.r) }()
		sent := uint64(0)
		for _, keys := range []string{"a", "b", "cde", "f"} {
			next, err := s.Stdin(context.Background(), key, Stdin{Offset: sent, Data: []byte(keys)})
			if sent += uint64(len(keys)); err != nil || next != sent {
				t.Fatalf("Stdin(%q) = %d, %v", keys, next, err)
			}
			if want := "abc"[:min(sent, 3)]; p.taken != want {
				t.Errorf("the program has %q when %q is answered, want %q", p.taken, keys, want)
			}
			synctest.Wait()
		}
		p.room = 1 << 20
		if _, err := s.Stdin(context.Background(), key, Stdin{Offset: sent, Data: make([]byte, maxPrompt+1)}); err != nil || len(p.taken) != 3 {
			t.Errorf("%d bytes were written at once (%v)", len(p.taken)-3, err)
		}
		synctest.Wait()
		p.in.w.Close()
		synctest.Wait()
		if want := "def" + string(make([]byte, maxPrompt+1)); string(rest) != want {
			t.Errorf("%q came later, want %q", rest, want)
		}
		s.HangUp("the test is over")
		later(retention * 2)
	})
}
