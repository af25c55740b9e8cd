package process

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// A program's descriptor 3 keeps messages apart, and goes on in the next image.
func TestChannelOfAProgram(t *testing.T) {
	keepings(t, func(t *testing.T, h *Host) {
		// What is written to descriptor 3 by one write is one message, and what is
		// read by dd with one block is one.
		g := script(self(t), `printf one >&3; printf two >&3; read x; dd bs=99 count=1 <&3 2>/dev/null`)
		p, err := h.Start(context.Background(), g, nil, Options{Channel: true})
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 99)
		receive := func(p *Process, want string) {
			t.Helper()
			n, err := p.Channel().Read(buf)
			if err != nil || string(buf[:n]) != want {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
		receive(p, "one")
		p.Suspend()
		text, err := json.Marshal(p.State())
		if err != nil {
			t.Fatal(err)
		}
		p.Unsuspend()
		var s State
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); err != nil || s.Channel < 3 || len(s.Descriptors()) < 4 {
			t.Errorf("%+v, %v", s, err)
		}
		next := cross(t, h, p)
		receive(next, "two")
		if _, err := next.Channel().Write([]byte("three")); err != nil {
			t.Fatal(err)
		}
		started := goesOn(t, next)
		started.give("\n")
		started.out.await(t, "three")
		if n, err := next.Channel().Read(buf); n != 0 || err != io.EOF {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestNoChannelUnlessAskedFor(t *testing.T) {
	h := newHost(t, HostConfig{NoCgroup: true})
	p := unread(t, h, script(self(t), "[ -e /proc/self/fd/3 ] && echo one; echo end"), nil)
	s := goesOn(t, p)
	s.out.await(t, "end")
	if out := s.out.awaitEnd(t); strings.Contains(out, "one") || p.Channel() != nil || p.State().Channel != 0 {
		t.Errorf("it has one: %q", out)
	}
}

func TestChannelsThatCannotBe(t *testing.T) {
	for name, edit := range map[string]func(*State){
		"of a terminal":   func(s *State) { s.Pipes, s.Terminal = nil, &TerminalState{Master: 5} },
		"below 3":         func(s *State) { s.Channel = 2 },
		"negative":        func(s *State) { s.Channel = -1 },
		"of the released": func(s *State) { s.Released = true },
	} {
		s := State{PID: 77, PIDFD: -1, Channel: 9, Pipes: &PipesState{In: 5, Out: OutputState{FD: 6}, Err: OutputState{FD: 7}}, Tree: TreeState{treeNote: treeNote{Mark: "m"}}}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		edit(&s)
		if err := s.Check(); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
