package e2e

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/internal/longline"
	"shellagent/jwtauth"
)

// memory is what a process holds, in bytes.
func memory(t *testing.T, pid int) int64 {
	t.Helper()
	kb, err := strconv.ParseInt(strings.TrimSuffix(status(t, pid)["VmRSS"], " kB"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// readFull is what comes, up to the size of p.
func readFull(r io.Reader, p []byte) string {
	n, _ := io.ReadFull(r, p)
	return string(p[:n])
}

// Clients that read nothing of what never ends cost their backlogs, and others
// no time.
func TestStalledClientsCostTheirBacklogs(t *testing.T) {
	const stalled = 200
	h := startHost(t, func(h *host, c object) {
		c["sources"].(object)["debug"].(object)["maxSessions"] = stalled + 10
	})
	if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	a := newAttacker(t, h, "127.0.0.1")
	key, err := jwtauth.LoadPrivateKey(h.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	// One key has only so many opens under way: each ten wait for their answers.
	var begun []io.Reader
	for n := range stalled {
		c, err := a.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.NetConn().Close()
		if _, err := io.WriteString(c, a.open("debug", key, `{"argv":["yes"]}`).String()); err != nil {
			t.Fatal(err)
		}
		if begun = append(begun, c); n%10 < 9 {
			continue
		}
		for _, c := range begun {
			const good = "HTTP/1.1 200"
			if head := make([]byte, len(good)); readFull(c, head) != good {
				t.Fatalf("an open was answered with %q", head)
			}
		}
		begun = nil
	}
	h.waitFor("all sessions", func() bool { return strings.Count(h.log.String(), "session opened") >= stalled })

	broker, front := h.cmd.Process.Pid, h.frontPID()
	var full int64
	grown := time.Now()
	h.waitFor("their backlogs to be full", func() bool {
		if now := memory(t, broker); now > full {
			full, grown = now, time.Now()
		}
		return full > stalled*(4<<20)*3/4 && time.Since(grown) > time.Second
	})
	const backlog, more = 4 << 20, 1 << 20
	if most := int64(stalled*(backlog+more) + 256<<20); full > most {
		t.Errorf("the broker holds %d MiB, at most %d are needed", full>>20, most>>20)
	}
	if got, most := memory(t, front), int64(stalled*more+128<<20); got > most {
		t.Errorf("the front holds %d MiB, at most %d are needed", got>>20, most>>20)
	}
	began := time.Now()
	for range 3 {
		if got := h.exec(nil, "debug", "myhost", "--", "echo", "quick"); got.stdout != "quick\n" {
			t.Fatalf("%q, %q", got.stdout, got.stderr)
		}
	}
	took := time.Since(began) / 3
	if later := memory(t, broker); later > full+16<<20 {
		t.Errorf("the broker has grown from %d to %d MiB", full>>20, later>>20)
	}
	t.Logf("broker %d MiB, front %d MiB, another session in %v", full>>20, memory(t, front)>>20, took)
}

// delaying is a proxy that delivers everything later, and otherwise at once.
func delaying(t *testing.T, port int, delay time.Duration) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	conns := make(chan net.Conn, 100)
	t.Cleanup(func() {
		l.Close()
		for len(conns) > 0 {
			(<-conns).Close()
		}
		all.Wait()
	})
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				near.Close()
				continue
			}
			conns <- near
			conns <- far
			all.Go(func() { deliver(near, far, delay, &all) })
			all.Go(func() { deliver(far, near, delay, &all) })
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// deliver passes bytes on, each one delay after it came. On its way are at most
// 2 MiB, as on a long and quick line.
func deliver(to, from net.Conn, delay time.Duration, all *sync.WaitGroup) {
	type parcel struct {
		due  time.Time
		data []byte
	}
	way := make(chan parcel, 64)
	all.Go(func() {
		defer to.Close()
		for p := range way {
			<-time.After(time.Until(p.due))
			if _, err := to.Write(p.data); err != nil {
				from.Close()
				for range way {
				}
				return
			}
		}
	})
	defer close(way)
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		way <- parcel{time.Now().Add(delay), buf[:n]}
	}
}

// What a program prints without end is no wall between a person and it.
func TestInterruptWhileOutputNeverEnds(t *testing.T) {
	h := startHost(t, nil)
	h.targetPort(delaying(t, h.port, roundTrip/2))
	interruptYes(t, h)
}

// The same where TCP itself has the delay to deal with, and both ways in bulk.
func TestLongLine(t *testing.T) {
	needRoot(t)
	need(t, "ip", "openssl", "sha256sum")
	const number = 41 // nobody else's
	line, err := longline.Open(number, roundTrip/2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	h := startHost(t, func(h *host, c object) { c["listen"] = object{"address": fmt.Sprintf("0.0.0.0:%d", h.port)} })
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key,
		"targets":        object{"myhost": object{"hostname": line.Near().String(), "port": h.port, "source": "debug"}},
	})
	h.through = []string{"ip", "netns", "exec", line.Name()}
	interruptYes(t, h)
	for name, job := range map[string]job{
		"exec":     transfer{down: 100 * mega, up: 20 * mega, code: 3},
		"terminal": typing{typed: 5 * mega, shown: 15 * mega, code: 4},
	} {
		began := time.Now()
		if err := job.run(h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v, of %d packets %d were dropped", name, time.Since(began).Round(time.Millisecond), line.Packets(), line.Dropped())
	}
}

const roundTrip = 50 * time.Millisecond

// interruptYes has a person stop what prints without end.
func interruptYes(t *testing.T, h *host) {
	t.Helper()
	s := shellScreen(t, h)
	s.remotePrompt()
	var took []time.Duration
	for range 3 {
		s.line("clear; yes")
		s.see("y\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny")
		<-time.After(500 * time.Millisecond)
		began := time.Now()
		s.keys("C-c")
		s.see("remote$")
		took = append(took, time.Since(began))
		s.line("clear; echo ready''now")
		s.see("readynow\nremote$")
	}
	t.Logf("prompts after %v, over a round trip of %v", took, roundTrip)
}
