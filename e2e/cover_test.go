package e2e

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"shellagent/bench/observer"
	"shellagent/shell"
)

// sizesOf counts the sizes of what passed one way.
func sizesOf(records []observer.Record, from time.Time, up bool) map[int]int {
	n := map[int]int{}
	for _, r := range records {
		if r.Up == up && r.At.After(from) {
			n[r.Size]++
		}
	}
	return n
}

// usual are the sizes that came at least three times: a connection that is made
// meanwhile has others, which say nothing of keys.
func usual(sizes map[int]int) []int {
	var all []int
	for size, n := range sizes {
		if n >= 3 {
			all = append(all, size)
		}
	}
	slices.Sort(all)
	return all
}

// relayed leads clients of a host past an observer.
func relayed(t *testing.T, h *host) *observer.Relay {
	t.Helper()
	r, err := observer.NewRelay(h.port, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key,
		"targets":        object{"myhost": object{"hostname": "127.0.0.1", "port": r.Port(), "source": "debug"}},
	})
	return r
}

// Keys that are shown, keys that are not, and nothing at all look the same: one
// size up, one for answers, one for what the terminal shows.
func TestUnderCoverEverythingHasOneSize(t *testing.T) {
	h := startHost(t, nil)
	r := relayed(t, h)
	s := shellScreen(t, h)
	s.remotePrompt()
	for _, c := range []struct{ name, run, typed, shown string }{
		{"shown", "read x; echo", "some words of text", "some words of text"},
		{"password", "read -s y; echo", "not to be seen", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.line("clear; echo be''gin; " + c.run)
			s.see("begin")
			start := awaitTicks(t, r, time.Now())
			for _, key := range c.typed {
				s.tmux("send-keys", "-l", string(key))
			}
			if c.shown != "" {
				s.see(c.shown)
			}
			awaitTicks(t, r, time.Now())
			records := r.Records()
			up, down := usual(sizesOf(records, start, true)), usual(sizesOf(records, start, false))
			if len(up) != 1 || len(down) != 2 && (len(down) != 3 || down[2] < 2*down[1]-64) {
				t.Errorf("sizes up %v, down %v", sizesOf(records, start, true), sizesOf(records, start, false))
			}
			s.keys("Enter")
			s.see("remote$")
		})
	}
}

// awaitTicks waits until some requests have passed, with their answers and what
// the terminal shows, and returns since when.
func awaitTicks(t *testing.T, r *observer.Relay, from time.Time) time.Time {
	t.Helper()
	if !eventually(20*time.Second, func() bool {
		all := r.Records()
		return len(usual(sizesOf(all, from, true))) > 0 && len(usual(sizesOf(all, from, false))) > 1
	}) {
		t.Fatalf("no covered requests: %v", sizesOf(r.Records(), from, true))
	}
	return from
}

// Without cover a key is a request, and what it says shows in its size.
func TestCoverOffSendsWhatThereIs(t *testing.T) {
	h := startHost(t, nil)
	r := relayed(t, h)
	s := newScreen(t, h, agentBin, "shell", "-c", h.client, "--accept-new", "--cover", "off", "debug", "myhost")
	s.see("$")
	s.line("echo on''ce")
	s.see("once")
	start, quiet := time.Now(), time.Now()
	before := len(r.Records())
	if !eventually(20*time.Second, func() bool {
		if n := len(r.Records()); n != before {
			before, quiet = n, time.Now()
		}
		return time.Since(quiet) > time.Second/2
	}) {
		t.Errorf("requests go on without keys: %v", sizesOf(r.Records(), start, true))
	}
}

// What was typed arrives once and in order, through connections that break.
func TestCoveredTypingThroughCuts(t *testing.T) {
	h := startHost(t, nil)
	c := newCutting(t, h.port, faults{cuts: many(12, 200), life: 700 * time.Millisecond})
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key,
		"targets":        object{"myhost": object{"hostname": "127.0.0.1", "port": c.port(), "source": "debug"}},
	})
	s := shellScreen(t, h)
	s.remotePrompt()
	s.line("clear; echo be''gin; cat > /dev/null")
	s.see("begin")
	c.arm()
	c.cutAll()
	for i := range 12 {
		s.line(fmt.Sprintf("line %02d of what is typed while connections break", i))
	}
	var want strings.Builder
	for i := range 12 {
		fmt.Fprintf(&want, "line %02d of what is typed while connections break\n", i)
	}
	s.see(want.String())
}

// oddCover sends a request under cover whose header no client would write.
func oddCover(flags, zero byte, cover uint16, length uint32) func(*victim) answer {
	return within(func(a *victim, s *session) answer {
		body := binary.BigEndian.AppendUint32(make([]byte, 16), length)
		body = append(body, flags, zero)
		body = append(binary.BigEndian.AppendUint16(body, cover), "id\n"...)
		if length > shell.MaxCovered {
			body = append(body, make([]byte, length)...)
		}
		return a.raw(s.signed(request{method: "POST", target: s.target("stdin"), body: body}).String())
	})
}

// A client of somebody else's that covers half of what it does gets what it asked
// for: nothing is lost or doubled, in whatever order it comes.
func TestCoverByAForeignClient(t *testing.T) {
	h := startHost(t, nil)
	a := newAttacker(t, h, "127.0.0.1")
	s := a.mustStart("debug", loadKey(t, h.key), `{"terminal":{"term":"dumb","cols":80,"rows":24},"command":"stty raw -echo; echo ready; head -c 12"}`)
	defer s.close()
	if _, err := s.output("ready"); err != nil {
		t.Fatal(err)
	}
	send := func(offset uint64, text string, cover time.Duration) answer {
		body := shell.AppendStdin(nil, shell.Stdin{Offset: offset, Cover: cover, Data: []byte(text)})
		return a.raw(s.signed(request{method: "POST", target: s.target("stdin"), body: append(body, "padding"...)}).String())
	}
	const tick = 4 * time.Millisecond
	for i, c := range []struct {
		offset uint64
		text   string
		cover  time.Duration
		next   string
	}{
		{0, "", tick, "                   0"},
		{99, "", shell.MaxCover, "                   0"},
		{3, "later", tick, "                   0"},
		{0, "one", tick, "                   3"},
		{3, "two", 0, "6"},
		{0, "onetwothree", tick, "                  11"},
		{11, "!", tick, "                  12"},
	} {
		if got := send(c.offset, c.text, c.cover); got.status != 200 || !strings.Contains(string(got.body), `{"next":`+c.next+`}`) {
			t.Errorf("request %d: %v %q, want %q", i, got, got.body, c.next)
		}
	}
	if got, err := s.output("onetwothree!"); err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
