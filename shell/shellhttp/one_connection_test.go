package shellhttp

import (
	"context"
	"crypto/tls"
	"sync/atomic"
	"testing"

	"shellagent/shell"
)

// TestOneConnection: a program that is given no input is run, read and let go of
// over a single connection, whether its input has ended or was never used; one
// that is given some has a second.
func TestOneConnection(t *testing.T) {
	for _, c := range []struct {
		name    string
		request shell.OpenRequest
		program string
		input   string
		want    int32
	}{
		{"no input", shell.OpenRequest{NoInput: true}, "cat", "", 1},
		{"input unused", shell.OpenRequest{}, "say", "", 1},
		{"input", shell.OpenRequest{}, "cat", "some", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"cat": catScript, "say": sayScript("said", "", 3)})
			var made atomic.Int32
			client := serve(t, b).client(t, counted(&made))
			s := open(t, client, c.program, c.request)
			if c.input != "" {
				if _, err := s.Write([]byte(c.input)); err != nil {
					t.Fatal(err)
				}
				s.CloseWrite()
			}
			readAll(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if n := made.Load(); n != c.want {
				t.Errorf("%d connections were made, want %d", n, c.want)
			}
			eventually(t, "the agent has let go of the session", func() bool { return len(b.registry.List(nil)) == 0 })
		})
	}
}

// counted has a client count the connections that it makes.
func counted(made *atomic.Int32) func(*ClientConfig) {
	return func(cfg *ClientConfig) {
		check := cfg.TLS.VerifyConnection
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.VerifyConnection = func(state tls.ConnectionState) error {
			made.Add(1)
			return check(state)
		}
	}
}

// A client that keeps a connection ready gives each session's back to the next, also
// once one had input and so left a connection for that.
func TestSharedConnectionIsGivenBack(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript, "say": sayScript("said", "", 3)})
	var made atomic.Int32
	client := serve(t, b).client(t, counted(&made))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.KeepReady(ctx)
	}()
	defer func() {
		stop()
		<-done
	}()
	eventually(t, "connections are kept", client.keeps.Load)
	run := func(program, input string) {
		s := open(t, client, program, shell.OpenRequest{})
		if _, err := s.Write([]byte(input)); err != nil {
			t.Fatal(err)
		}
		s.CloseWrite()
		readAll(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	run("cat", "some")
	before := made.Load()
	for range 5 {
		run("say", "")
	}
	// One may have been made ready while a session took its time.
	if more := made.Load() - before; more > 1 {
		t.Errorf("five sessions one after the other made %d connections", more)
	}
}

// Who leaves a program that runs on breaks its connection off: another is asked for
// at once, and not only once a short session would have given it back.
func TestConnectionOfASessionThatWasLeftIsReplaced(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	client := serve(t, b).client(t)
	s := open(t, client, "cat", shell.OpenRequest{})
	if in := <-client.wanted; in != readySoon {
		t.Errorf("a session took the connection: another in %v", in)
	}
	if err := s.Detach(); err != nil {
		t.Fatal(err)
	}
	select {
	case in := <-client.wanted:
		if in != 0 {
			t.Errorf("another in %v", in)
		}
	default:
		t.Error("no other is asked for")
	}
}

// A terminal's output is not waited for in the kernel: keys and the clock of their
// cover want the processor meanwhile. A connection may serve both kinds in turn.
func TestOnlyATerminalSharesItsReader(t *testing.T) {
	b := newTestBroker(t, map[string]script{"end": func(*memProgram) int { return 0 }})
	client := serve(t, b).client(t)
	for _, on := range []*shell.Terminal{nil, terminal, nil} {
		s := open(t, client, "end", shell.OpenRequest{Terminal: on, NoInput: on == nil})
		over := s.stream.over.bulk
		if over == nil || over.in.Shared != (on != nil) {
			t.Errorf("terminal %v: read over %+v", on, over)
		}
		readAll(t, s)
		s.Close()
	}
}

// Who types at a program that has said nothing yet finds a connection all the same.
func TestConnectionForAQuietTerminal(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	client := serve(t, b).client(t)
	s := open(t, client, "cat", shell.OpenRequest{Terminal: terminal})
	eventually(t, "a connection for input is begun", func() bool { return client.postDialer.primed() })
	if _, err := s.Write([]byte("key")); err != nil {
		t.Fatal(err)
	}
	s.CloseWrite()
	if o := readAll(t, s); string(o.out) != "key" {
		t.Errorf("%q came back", o.out)
	}
}
