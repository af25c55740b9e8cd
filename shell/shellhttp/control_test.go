package shellhttp

import (
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

// What is typed after a resize does not arrive before it, but does not wait for ever.
func TestInputFollowsAResize(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	typed := make(chan struct{}, 2)
	var resizes atomic.Int32
	b.before = func(call *shell.Call) (*shell.Reply, error) {
		if isStdin(call) {
			typed <- struct{}{}
		} else if strings.HasSuffix(call.Target, "/control") {
			switch resizes.Add(1) {
			case 1: // takes its time
				select {
				case <-typed:
					t.Error("what was typed overtook the resize")
				case <-time.After(200 * time.Millisecond):
				}
			case 2: // hangs
				<-typed
			}
		}
		return nil, nil
	}
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{Terminal: terminal})
	s.Resize(shell.Winsize{Cols: 90, Rows: 20})
	io.WriteString(s, "after")
	expect(t, s, "after")
	<-typed
	s.Resize(shell.Winsize{Cols: 91, Rows: 21})
	io.WriteString(s, "at last")
	expect(t, s, "at last")
}
