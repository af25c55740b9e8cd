package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// hoard opens idle TLS connections from an address and keeps them.
func (a *attacker) hoard(n int, first string) (release func()) {
	a.t.Helper()
	conns := make([]*tls.Conn, n)
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				c, err := a.dial()
				if err != nil {
					failed.Add(1)
					continue
				}
				_, _ = io.WriteString(c, first)
				conns[i] = c
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		a.t.Logf("%d of %d connections failed", failed.Load(), n)
	}
	return func() {
		for _, c := range conns {
			if c != nil {
				c.NetConn().Close()
			}
		}
	}
}

// within1s fails the test unless an operator gets a session, and its output,
// within a second.
func (a *attacker) within1s(what string, key *jwtauth.PrivateKey) {
	a.t.Helper()
	began := time.Now()
	s, got := a.start("debug", key, `{"argv":["echo","in"]}`)
	defer s.close()
	if got.err != nil || got.status != 200 {
		a.t.Errorf("%s: the operator from %s got %v", what, a.from, got)
		return
	}
	if _, err := s.output("in"); err != nil {
		a.t.Errorf("%s: the operator from %s: %v", what, a.from, err)
	}
	if took := time.Since(began); took > time.Second {
		a.t.Errorf("%s: the operator from %s waited %v", what, a.from, took)
	}
}

// echoes types a line into a session of cat and waits for it.
func (s *session) echoes(line string, offset *uint64) error {
	got := s.a.raw(s.stdin(*offset, line).String())
	if got.status != 200 {
		return fmt.Errorf("stdin: %v", got)
	}
	*offset += uint64(len(line))
	_, err := s.output(line)
	return err
}

// typeUntil types into a session of cat, once a second, until something comes.
func (s *session) typeUntil(ready <-chan func(), typed *uint64) func() {
	s.a.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := s.echoes(fmt.Sprintln("at", *typed), typed); err != nil {
			s.a.t.Fatalf("the live session: %v", err)
		}
		select {
		case came := <-ready:
			return came
		case <-tick.C:
		}
	}
}

func TestHoardedConnections(t *testing.T) {
	h := startHost(t, nil)
	alice := loadKey(t, h.key)
	bad, same, other := newAttacker(t, h, "127.0.7.1"), newAttacker(t, h, "127.0.7.1"), newAttacker(t, h, "127.0.7.2")
	live := same.mustStart("debug", alice, `{"argv":["cat"]}`)
	var typed uint64
	began := time.Now()
	slow, err := newAttacker(t, h, "127.0.7.3").dial()
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := io.WriteString(slow, "GET /v1/sessions HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		name, first string
		n           int
	}{
		{"idle connections", "", 5000},
		{"slow headers", "GET /v1/sessions HTTP/1.1\r\nHost:", 500},
		{"slow bodies", "POST /v1/shell/debug HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a.b.c\r\nContent-Length: 1000\r\n\r\n{", 500},
	} {
		hoarded := make(chan func(), 1)
		go func() { hoarded <- bad.hoard(w.n, w.first) }()
		release := live.typeUntil(hoarded, &typed)
		same.within1s(w.name, alice)
		other.within1s(w.name, alice)
		if err := live.echoes(w.name+"\n", &typed); err != nil {
			t.Errorf("%s: the live session: %v", w.name, err)
		}
		release()
	}
	// Who takes ten seconds for a request's headers is sent away.
	slow.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := slow.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("slow headers after %v: %v", time.Since(began), err)
	}
}

// An agent with few descriptors has room for somebody new as well.
func TestHoardedConnectionsWithFewFiles(t *testing.T) {
	h := newHost(t, nil)
	cmd := exec.Command("sh", "-c", `ulimit -n 1100; exec "$0" listen -c "$1"`, agentBin, h.config)
	h.startWith(cmd)
	alice := loadKey(t, h.key)
	live := newAttacker(t, h, "127.0.7.9").mustStart("debug", alice, `{"argv":["cat"]}`)
	var typed uint64
	for i := range 4 {
		from := fmt.Sprintf("127.0.8.%d", i)
		defer newAttacker(t, h, from).hoard(200, "")()
		newAttacker(t, h, from).within1s("few files", alice)
		newAttacker(t, h, "127.0.9.9").within1s("few files", alice)
	}
	if err := live.echoes("still here\n", &typed); err != nil {
		t.Errorf("the live session: %v", err)
	}
}
