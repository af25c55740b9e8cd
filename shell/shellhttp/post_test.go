package shellhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
		"busy":         {shell.ReasonReplayFull, false},
		"answers lost": {shell.ReasonUnavailable, true},
	} {
		for kind, term := range map[string]*shell.Terminal{"terminal": terminal, "pipes": nil} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				b := newTestBroker(t, map[string]script{"cat": catScript})
				var mu sync.Mutex
				tries := map[uint64]int{}
				faulty := func(call *shell.Call) *shell.Reply {
					in, err := stdinOf(call)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if tries[in.Offset]++; tries[in.Offset] > 2 {
						return nil
					}
					return problemOf(shell.Deny(c.reason, nil))
				}
				lost := map[*shell.Call]*shell.Reply{}
				b.before = func(call *shell.Call) (*shell.Reply, error) {
					if !isStdin(call) {
						return nil, nil
					}
					r := faulty(call)
					if c.taken && r != nil {
						mu.Lock()
						lost[call] = r
						mu.Unlock()
						return nil, nil
					}
					return r, nil
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

// controls records what control requests said.
func controls(b *testBroker) func() []shell.ControlRequest {
	var mu sync.Mutex
	var got []shell.ControlRequest
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if strings.HasSuffix(call.Target, "/control") {
			body, err := io.ReadAll(call.Body)
			if err != nil {
				return nil, err
			}
			var c shell.ControlRequest
			if err := json.Unmarshal(body, &c); err != nil {
				return nil, err
			}
			call.Body = strings.NewReader(string(body))
			mu.Lock()
			got = append(got, c)
			mu.Unlock()
		}
		return nil, nil
	}
	return func() []shell.ControlRequest {
		mu.Lock()
		defer mu.Unlock()
		return append([]shell.ControlRequest(nil), got...)
	}
}

func TestAcknowledgements(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	b := newTestBroker(t, map[string]script{"say": sayScript(big, "", 0)})
	sent := controls(b)
	s := open(t, serve(t, b).client(t), "say", shell.OpenRequest{})
	o := readAll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	list := sent()
	last := list[len(list)-1]
	if last.Ack != o.exit.End || last.Close {
		t.Errorf("last was %+v, the exit is at %d", last, o.exit.End)
	}
	if len(list) < 2 || len(list) > 5 {
		t.Errorf("%d requests for 3 MiB: %+v", len(list), list)
	}
	for i, c := range list {
		if c.Seq != uint64(i+1) {
			t.Errorf("request %d has the number %d", i, c.Seq)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	sent := controls(b)
	c := serve(t, b).client(t)
	c.times.heartbeat = 20 * time.Millisecond
	open(t, c, "wait", shell.OpenRequest{})
	eventually(t, "three heartbeats", func() bool { return len(sent()) >= 3 })
}

func TestControlRequestsAreRepeatedAsTheyWere(t *testing.T) {
	b := newTestBroker(t, map[string]script{"report": reportScript})
	sent := controls(b)
	var n atomic.Int32
	b.after = func(call *shell.Call, r *shell.Reply) *shell.Reply {
		if strings.HasSuffix(call.Target, "/control") && n.Add(1)%3 != 0 {
			return problemOf(shell.Deny(shell.ReasonUnavailable, nil))
		}
		return r
	}
	s := open(t, serve(t, b).client(t), "report", shell.OpenRequest{Terminal: terminal})
	for _, name := range []string{"INT", "QUIT", "TERM"} {
		if err := s.Signal(name); err != nil {
			t.Fatal(err)
		}
	}
	if o := readAll(t, s); string(o.out) != "INT\nQUIT\nTERM\n" {
		t.Errorf("got %q", o.out)
	}
	if list := sent(); len(list) < 6 || list[0].Seq != list[1].Seq {
		t.Errorf("sent %+v", list)
	}
}

func TestSignalsAreBounded(t *testing.T) {
	b := newTestBroker(t, map[string]script{"wait": waitScript})
	hold := make(chan struct{})
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if strings.HasSuffix(call.Target, "/control") {
			<-hold
		}
		return nil, nil
	}
	s := open(t, serve(t, b).client(t), "wait", shell.OpenRequest{})
	var err error
	for range maxSignals + 2 {
		err = errors.Join(err, s.Signal("USR1"))
	}
	close(hold)
	if err == nil {
		t.Error("signals pile up without a bound")
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
		return len(s.stdin.queue) == maxQueue
	})
	if n := s.stdin.written(); n > maxQueue+maxBulkPosts*maxPost {
		t.Errorf("%d bytes are on their way", n)
	}
	close(hold)
	s.Close()
	if n := <-wrote; n == 8<<20 {
		t.Error("everything was written")
	}
}
