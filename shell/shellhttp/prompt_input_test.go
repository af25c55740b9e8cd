package shellhttp

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"shellagent/shell"
)

// typeAll types one key after another, as a terminal's reader does, and says how
// many left by its own hand.
func typeAll(t *testing.T, s *Session, keys []string, before func(i int)) (prompt int) {
	t.Helper()
	for i, key := range keys {
		before(i)
		if s.WritePrompt([]byte(key)) {
			prompt++
		} else if _, err := s.Write([]byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	return prompt
}

func manyKeys(n int) (keys []string, text string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("%d ", i))
	}
	return keys, strings.Join(keys, "")
}

// held waits until the agent has all that was typed, so that the next key finds
// nothing on its way.
func held(t *testing.T, s *Session) {
	t.Helper()
	eventually(t, "what was typed being held", func() bool {
		q := s.stdin
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.held == q.next && q.waiting() == 0 && len(q.posts) == 0 && q.idle == q.started
	})
}

func TestKeysAreSentByWhoTypesThem(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	s := open(t, serve(t, b).client(t), "cat", shell.OpenRequest{Terminal: terminal})
	keys, want := manyKeys(50)
	if n := typeAll(t, s, keys, func(int) { held(t, s) }); n != len(keys)-1 {
		t.Errorf("%d of %d keys were sent at once, want all but the first", n, len(keys))
	}
	if s.WritePrompt([]byte(strings.Repeat("x", maxPromptInput+1))) || s.WritePrompt(nil) {
		t.Error("what is large, or nothing, was sent as a key")
	}
	s.CloseWrite()
	if o := readAll(t, s); string(o.out) != want {
		t.Errorf("%q came back", o.out)
	}
}

// Keys follow one another without a pause, their requests are refused, their
// answers lost, and their connections cut: each arrives once, in order.
func TestKeysSurviveFaults(t *testing.T) {
	for _, fault := range []string{"none", "refused", "answers lost", "cut"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := newTestBroker(t, map[string]script{"cat": catScript})
			var calls atomic.Int32
			b.after = func(call *shell.Call, r *shell.Reply) *shell.Reply {
				if isStdin(call) && fault == "answers lost" && calls.Add(1)%3 == 0 {
					return problemOf(shell.Deny(shell.ReasonUnavailable, nil))
				}
				return r
			}
			b.before = func(call *shell.Call) (*shell.Reply, error) {
				if isStdin(call) && fault == "refused" && calls.Add(1)%3 == 0 {
					return problemOf(shell.Deny(shell.ReasonCounter, nil)), nil
				}
				return nil, nil
			}
			server := serve(t, b)
			proxy := proxied(t, server)
			s := open(t, server.client(t), "cat", shell.OpenRequest{Terminal: terminal}).Lasting(nil)
			keys, want := manyKeys(60)
			done := make(chan string)
			go func() {
				var got strings.Builder
				for {
					f, err := s.Next(t.Context())
					if err != nil || f.Type == shell.FrameExit {
						break
					}
					got.Write(f.Data)
				}
				done <- got.String()
			}()
			typeAll(t, s.Session, keys, func(i int) {
				if i%2 == 0 {
					held(t, s.Session)
				}
				if fault == "cut" && i%20 == 10 {
					proxy.cut()
				}
			})
			s.CloseWrite()
			if got := <-done; got != want {
				t.Errorf("%q came back", got)
			}
			s.Close()
		})
	}
}

// A session that ends while a key is on its way leaves nothing behind.
func TestKeyAtTheEndOfASession(t *testing.T) {
	b := newTestBroker(t, map[string]script{"cat": catScript})
	server := serve(t, b)
	for range 20 {
		s := open(t, server.client(t), "cat", shell.OpenRequest{Terminal: terminal})
		if _, err := s.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
		held(t, s)
		ended := make(chan struct{})
		go func() { defer close(ended); s.Close() }()
		s.WritePrompt([]byte("b"))
		<-ended
	}
}
