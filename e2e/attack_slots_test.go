package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"shellagent/jwtauth"
)

// leave sends requests that are not waited for, each on a connection of its own,
// and keeps those.
func (a *attacker) leave(n int, next func() string) (release func()) {
	a.t.Helper()
	var mu sync.Mutex
	var conns []*tls.Conn
	left := n
	take := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 {
			return "", false
		}
		left--
		return next(), true
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				c, err := a.dial()
				if err != nil {
					return
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
				request, more := take()
				if !more {
					return
				}
				_, _ = io.WriteString(c, request)
			}
		})
	}
	wg.Wait()
	return func() {
		for _, c := range conns {
			c.NetConn().Close()
		}
	}
}

// slowBody is a request for input of which the most is held back.
func (s *session) slowBody() string {
	text := s.stdin(0, strings.Repeat("x", 64<<10)).String()
	return text[:len(text)-63<<10]
}

// slowBodies fill the room that a key has for calls in progress.
func slowBodies(a *victim) answer {
	s, got := a.start("debug", a.alice, `{"argv":["cat"]}`)
	defer s.close()
	if got.status != 200 {
		return got
	}
	defer a.leave(150, s.slowBody)()
	a.h.waitFor("the key's room to be full", func() bool {
		got = a.raw(a.list(a.alice).String())
		return got.status != 200
	})
	return got
}

// Somebody with a key cannot be in all of the room for calls, neither with
// bodies that come slowly nor with input for a program that does not read.
func TestHoardedCalls(t *testing.T) {
	var bob *jwtauth.PrivateKey
	h := startHost(t, func(h *host, c object) {
		bob = newKey(t)
		c["verifyKeys"] = []string{h.publicKey(h.key), bob.PublicKey().AuthorizedKey("bob")}
	})
	alice := loadKey(t, h.key)
	bad, other := newAttacker(t, h, "127.0.7.1"), newAttacker(t, h, "127.0.7.2")
	live := other.mustStart("debug", bob, `{"argv":["cat"]}`)
	deaf := bad.mustStart("debug", alice, `{"argv":["sleep","1000"]}`)
	const first = 500 << 10 // more than is queued for a program
	var typed uint64
	filled := false
	for _, w := range []struct {
		name string
		next func() string
	}{
		{"slow bodies", deaf.slowBody},
		{"input that nobody reads", func() string {
			if !filled {
				filled = true
				return deaf.stdin(0, strings.Repeat("x", first)).String()
			}
			return deaf.stdin(first, "x").String()
		}},
	} {
		release := bad.leave(600, w.next)
		other.within1s(w.name, bob)
		bad.at("127.0.7.3").within1s(w.name, bob)
		if err := live.echoes(fmt.Sprintln(w.name, strings.Repeat("y", 100<<10)), &typed); err != nil {
			t.Errorf("%s: the live session: %v", w.name, err)
		}
		release()
	}
}
