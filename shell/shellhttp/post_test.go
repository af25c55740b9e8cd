package shellhttp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"shellagent/shell"
)

func isStdin(call *shell.Call) bool { return strings.HasSuffix(call.Target, "/stdin") }

var terminal = &shell.Terminal{Term: "xterm", Winsize: shell.Winsize{Cols: 80, Rows: 24}}

// stdinOf reads the body of a stdin request and leaves it to be read again.
func stdinOf(call *shell.Call) (shell.Stdin, error) {
	body, err := io.ReadAll(call.Body)
	if err != nil {
		return shell.Stdin{}, err
	}
	call.Body = bytes.NewReader(body)
	return shell.ParseStdin(body)
}

// Every input is refused twice, or taken and its answer lost.
func TestInputSurvivesFaults(t *testing.T) {
	for name, c := range map[string]struct {
		reason shell.Reason
		taken  bool
	}{
		"unavailable":  {shell.ReasonUnavailable, false},
		"too late":     {shell.ReasonBodyTimeout, false},
		"replayed":     {shell.ReasonCounter, false},
		"answers lost": {shell.ReasonUnavailable, true},
	} {
		for kind, term := range map[string]*shell.Terminal{"terminal": terminal, "pipes": nil} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				b := newTestBroker(t, map[string]script{"cat": catScript})
				var mu sync.Mutex
				tries := map[uint64]int{}
				faulty := func(call *shell.Call) (*shell.Reply, error) {
					in, err := stdinOf(call)
					if err != nil {
						return nil, err // the client has left: its program ended
					}
					mu.Lock()
					defer mu.Unlock()
					if tries[in.Offset]++; tries[in.Offset] > 2 {
						return nil, nil
					}
					return problemOf(shell.Deny(c.reason, nil)), nil
				}
				lost := map[*shell.Call]*shell.Reply{}
				b.before = func(call *shell.Call) (*shell.Reply, error) {
					if !isStdin(call) {
						return nil, nil
					}
					r, err := faulty(call)
					if c.taken && r != nil {
						mu.Lock()
						lost[call] = r
						mu.Unlock()
						return nil, nil
					}
					return r, err
				}
				b.after = func(call *shell.Call, r *shell.Reply) *shell.Reply {
					mu.Lock()
					defer mu.Unlock()
					if l := lost[call]; l != nil {
						return l
					}
					return r
				}
				s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{Terminal: term})
				want := strings.Repeat("0123456789abcdef", 40_000)
				go func() {
					io.WriteString(s, want)
					s.CloseWrite()
				}()
				if o := readAll(t, s); string(o.out) != want {
					t.Errorf("%d bytes, not the %d sent", len(o.out), len(want))
				}
			})
		}
	}
}

// A broker that holds a part of each request is sent the rest.
func TestPartOfTheInputIsTaken(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if !isStdin(call) {
			return nil, nil
		}
		in, err := stdinOf(call)
		if err != nil {
			return nil, err
		}
		if len(in.Data) > 1000 {
			in.Data, in.EOF = in.Data[:1000], false
		}
		id := strings.Split(call.Target, "/")[3]
		next, err := b.registry.ByID(id).Stdin(t.Context(), id, in)
		if err != nil {
			return refusalOf(err), nil
		}
		return jsonReply(map[string]uint64{"next": next})
	}
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{Terminal: terminal})
	want := strings.Repeat("0123456789", 1234)
	io.WriteString(s, want)
	s.CloseWrite()
	if o := readAll(t, s); string(o.out) != want {
		t.Errorf("%d bytes, not the %d sent", len(o.out), len(want))
	}
	if n := b.seen("POST /v1/sessions/"); n < 13 {
		t.Errorf("%d requests", n)
	}
}

func TestInputThatCannotBeDeliveredEndsTheSession(t *testing.T) {
	for name, reason := range map[string]shell.Reason{"taken over": shell.ReasonTakenOver, "lost input": shell.ReasonOffset} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript})
			b.before = func(call *shell.Call) (*shell.Reply, error) {
				if !isStdin(call) {
					return nil, nil
				}
				return problemOf(shell.Deny(reason, nil)), nil
			}
			s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{Terminal: terminal})
			if reason == shell.ReasonOffset {
				s.stdin.next = 5 // as if the agent had forgotten what it took
			}
			io.WriteString(s, "x")
			var p *Problem
			if _, err := readUntil(s); !errors.As(err, &p) || p.Code != reason.Refusal().Code {
				t.Errorf("next: %v", err)
			}
			eventually(t, "writes fail", func() bool { _, err := io.WriteString(s, "y"); return errors.As(err, &p) })
		})
	}
}

func TestInputAfterTheEndIsNoFailure(t *testing.T) {
	b := newTestBroker(t, map[string]script{"say": sayScript("bye\n", "", 3)})
	s := open(t, serve(t, b).client(t), "say", shell.OpenRequest{})
	core := b.registry.ByID(s.Info().ID)
	<-core.Done()
	io.WriteString(s, "nobody reads this")
	s.CloseWrite()
	if o := readAll(t, s); string(o.out) != "bye\n" || !strings.Contains(string(o.exit.Data), `"code":3`) {
		t.Errorf("%q, %s", o.out, o.exit.Data)
	}
	if _, err := io.WriteString(s, "x"); !errors.Is(err, ErrEnded) {
		t.Errorf("write after the exit: %v", err)
	}
}

func TestWriteBlocksWhileNothingIsTaken(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	hold := make(chan struct{})
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if isStdin(call) {
			<-hold
		}
		return nil, nil
	}
	s := open(t, serve(t, b).client(t), "wait", shell.OpenRequest{})
	wrote := make(chan int)
	go func() {
		n, _ := s.Write(make([]byte, 8<<20))
		wrote <- n
	}()
	eventually(t, "the queue is full", func() bool {
		s.stdin.mu.Lock()
		defer s.stdin.mu.Unlock()
		return s.stdin.waiting() == s.stdin.room()
	})
	if n := s.stdin.written(); n > nearPost+maxBulkPosts*maxPost {
		t.Errorf("%d bytes are on their way", n)
	}
	close(hold)
	s.Close()
	if n := <-wrote; n == 8<<20 {
		t.Error("everything was written")
	}
}
