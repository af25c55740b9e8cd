package broker

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// A front that somebody has taken over holds the socket and whatever passed
// through it. These tests are that front. It must start nothing, type nothing,
// stall nobody else and crash nothing.

// takenOver is a connection of such a front.
type takenOver struct {
	t    *testing.T
	conn *net.UnixConn
	in   *bufio.Reader
}

func (a *testAgent) takenOver() *takenOver {
	conn, _ := a.raw()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &takenOver{a.t, conn, bufio.NewReader(conn)}
}

// send sends a call with any body and reads its reply, which may be the end.
func (f *takenOver) send(c *shell.Call) (*shell.Reply, error) {
	body, err := io.ReadAll(c.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	m := callHeader(f.t, c)
	if len(body) <= maxInline {
		m = append(m, body...)
	}
	if _, err := f.conn.Write(m); err != nil {
		return nil, err
	}
	kind, err := f.in.ReadByte()
	if err == nil && kind == answerGoOn {
		if _, err := f.conn.Write(body); err != nil {
			return nil, err
		}
		kind, err = f.in.ReadByte()
	}
	if err != nil || kind != answerReply {
		return nil, err
	}
	r, _, err := (&clientConn{sock: f.conn, in: f.in}).readReply()
	return r, err
}

// callHeader is a call as it is sent, without its body.
func callHeader(t testing.TB, c *shell.Call) []byte {
	m, err := appendCall(make([]byte, lengthSize), c)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(m, uint32(len(m)-lengthSize))
	return m
}

// again is a call that the front saw and keeps, with a body of its choice.
func again(c *shell.Call, body string) *shell.Call {
	d := *c
	d.Body, d.Size = strings.NewReader(body), len(body)
	return &d
}

// aimed is a call that the front aims elsewhere.
func aimed(c *shell.Call, method, target string) *shell.Call {
	c.Method, c.Target = method, target
	return c
}

// besieged is an agent with two sessions of two people, and what they typed.
type besieged struct {
	*testAgent
	alice, bob   *jwtauth.PrivateKey
	alices, bobs *testSession
	opened       int // by them
}

func newBesieged(t *testing.T) *besieged {
	b := &besieged{alice: newTestKey(t), bob: newTestKey(t), opened: 2}
	b.testAgent = newTestAgent(t, oneSource(b.alice, b.bob))
	b.alices, b.bobs = b.open("debug", b.alice), b.open("debug", b.bob)
	return b
}

// unharmed says that nothing was started or typed but by the owners, and that
// they still can.
func (b *besieged) unharmed() {
	b.t.Helper()
	if n := len(b.programs()); n != b.opened {
		b.t.Errorf("%d programs were started, %d opened", n, b.opened)
	}
	for name, s := range map[string]*testSession{"alice": b.alices, "bob": b.bobs} {
		before := s.program.read()
		front := b.takenOver() // also the owners' calls come through a front
		began := time.Now()
		r, err := front.send(s.stdin(uint64(len(before)), name+"\n"))
		if err != nil || r.Status != 200 {
			b.t.Fatalf("%s types: %+v, %v", name, r, err)
		}
		eventually(b.t, name+"'s line", func() bool { return s.program.read() == before+name+"\n" })
		if took := time.Since(began); took > time.Second {
			b.t.Errorf("%s waited %v for a keystroke", name, took)
		}
		front.conn.Close()
	}
	if got := b.alices.program.read() + b.bobs.program.read(); strings.Contains(got, "evil") {
		b.t.Errorf("evil was typed: %q", got)
	}
}

func TestTakenOverFrontSendsNoise(t *testing.T) {
	b := newBesieged(t)
	r := rand.New(rand.NewPCG(1, 2))
	good := message(t, b.list(b.alice))
	for i := range 200 {
		noise := make([]byte, 1+r.IntN(4<<10))
		for j := range noise {
			noise[j] = byte(r.Uint32())
		}
		switch i % 4 {
		case 0: // a length that is true
			noise = append(binary.BigEndian.AppendUint32(nil, uint32(len(noise))), noise...)
		case 1: // a good call with a few bytes changed
			noise = append([]byte(nil), good...)
			for range 1 + r.IntN(8) {
				noise[r.IntN(len(noise))] ^= byte(1 << r.IntN(8))
			}
		case 2: // a good call cut short
			noise = good[:r.IntN(len(good))]
		}
		f := b.takenOver()
		if _, err := f.conn.Write(noise); err != nil || i%2 == 0 {
			f.conn.Close()
		}
	}
	b.unharmed()
}

func TestTakenOverFrontForges(t *testing.T) {
	b := newBesieged(t)
	evil := newTestKey(t)
	stdin := string(shell.AppendStdin(nil, shell.Stdin{Data: []byte("evil\n")}))
	typing := func() *shell.Call { return again(call("POST", b.alices.target("stdin"), nil), stdin) }
	own := &testSession{a: b.testAgent, key: evil}
	seen := b.alices.stdin(0, "") // one that passed through
	asHost := b.signed(typing(), evil, jwtauth.TypeHost, jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(b.now()), Audience: b.alices.id, SessionID: b.alices.id, OpenHash: b.alices.id,
	})
	for name, c := range map[string]*shell.Call{
		"without a token":                typing(),
		"a key of its own":               own.sign(typing(), []byte(stdin)),
		"bob's session key for alice's":  b.bobs.sign(typing(), []byte(stdin)),
		"alice's token with other input": again(seen, stdin),
		"alice's token for bob's":        aimed(again(seen, stdin), "POST", b.bobs.target("stdin")),
		"alice's token for the stream":   aimed(again(seen, ""), "GET", b.alices.target("stream?from=0")),
		"a host token":                   asHost,
		"an open with a key of its own":  b.openCall("debug", evil, newTestKey(t)),
		"an open as the session's key":   b.openCall("debug", b.alices.key, newTestKey(t)),
		"an open of another source":      aimed(b.openCall("debug", b.alice, newTestKey(t)), "POST", "/v1/shell/root"),
		"an open of another command":     again(b.openCall("debug", b.alice, newTestKey(t)), `{"argv":["evil"]}`),
		"an odd method":                  aimed(b.list(b.alice), "GET\n", "/v1/sessions"),
		"an odd target":                  aimed(b.list(b.alice), "GET", "/v1/sessions\x00"),
		"a prefix":                       aimed(b.list(b.alice), "GET", "/prefix/v1/sessions"),
	} {
		r, err := b.takenOver().send(c)
		if err != nil || r.Status < 400 || r.Stream != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	b.unharmed()
}

// Whatever the front saw, it can use once and in time, if it withholds it from
// the broker; a second time, or later, it is worth nothing.
func TestTakenOverFrontKeepsWhatItSaw(t *testing.T) {
	b := newBesieged(t)
	typed := b.alices.stdin(0, "evil\n") // which alice meant to type, and did not
	body := string(shell.AppendStdin(nil, shell.Stdin{Data: []byte("evil\n")}))
	listed, opened := b.list(b.alice), b.openCall("debug", b.alice, newTestKey(t))
	b.ahead.Store(int64(6 * time.Second))
	for name, c := range map[string]*shell.Call{"stdin": again(typed, body), "list": listed, "open": again(opened, "{}")} {
		if r, err := b.takenOver().send(c); err != nil || r.Code != "stale" {
			t.Errorf("%s 6 s later: %+v, %v", name, r, err)
		}
	}
	b.ahead.Store(0)
	good := b.bobs.stdin(0, "mine\n")
	mine := string(shell.AppendStdin(nil, shell.Stdin{Data: []byte("mine\n")}))
	for i, want := range []string{"", "replayed", "replayed"} {
		if r, err := b.takenOver().send(again(good, mine)); err != nil || r.Code != want {
			t.Errorf("time %d: %+v, %v", i+1, r, err)
		}
	}
	eventually(t, "bob's line", func() bool { return b.bobs.program.read() == "mine\n" })
	b.unharmed()
}

func TestTakenOverFrontFloods(t *testing.T) {
	b := newBesieged(t)
	bad := b.list(newTestKey(t))
	var flood sync.WaitGroup
	stop := make(chan struct{})
	for i := range 32 {
		f := b.takenOver()
		flood.Go(func() {
			for n := uint32(0); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				c := again(bad, "")
				// It may say that it comes from anywhere.
				c.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i)<<24|n))), 1)
				f.conn.SetDeadline(time.Now().Add(10 * time.Second))
				if r, err := f.send(c); err != nil || r.Status < 400 {
					t.Errorf("flood: %+v, %v", r, err)
					return
				}
			}
		})
	}
	for range 20 {
		b.unharmed()
	}
	close(stop)
	flood.Wait()
	b.penalties.mu.Lock()
	n := len(b.penalties.points)
	b.penalties.mu.Unlock()
	if n > maxPenalties {
		t.Errorf("%d addresses are remembered", n)
	}
	if lines := strings.Count(b.log.String(), "\n"); lines > 3*linesBurst {
		t.Errorf("the flood wrote %d lines", lines)
	}
}

// A front that never reads holds its own connections and nothing else.
func TestTakenOverFrontNeverReads(t *testing.T) {
	b := newBesieged(t)
	// A stream that nobody reads, of a program that says more than fits.
	conn, _ := b.raw()
	if _, err := conn.Write(message(t, again(b.openCall("debug", b.alice, newTestKey(t)), "{}"))); err != nil {
		t.Fatal(err)
	}
	b.opened = 3
	eventually(t, "the session", func() bool { return len(b.programs()) == b.opened })
	talks := b.programs()[2]
	said := make(chan struct{})
	go func() {
		defer close(said)
		for range 4096 {
			if _, err := talks.say.Write(make([]byte, 16<<10)); err != nil {
				return
			}
		}
		t.Error("64 MiB were taken though nobody reads them")
	}()
	// Calls whose replies nobody reads, one after the other on each connection.
	for range 50 {
		f := b.takenOver()
		m := message(t, again(b.list(newTestKey(t)), ""))
		go func() {
			for range 1000 {
				if _, err := f.conn.Write(m); err != nil {
					return
				}
			}
		}()
	}
	// Large bodies that never come.
	for range 50 {
		f := b.takenOver()
		c := call("POST", b.alices.target("stdin"), make([]byte, maxInline+1))
		b.alices.sign(c, make([]byte, maxInline+1))
		if _, err := f.conn.Write(callHeader(t, c)); err != nil {
			t.Fatal(err)
		}
		if kind, err := f.in.ReadByte(); err != nil || kind != answerGoOn {
			t.Fatalf("%d, %v", kind, err)
		}
	}
	b.unharmed()
	began := time.Now()
	b.SetPolicy(t.Context(), newTestPolicy(t, oneSource(b.bob)))
	if took := time.Since(began); took > time.Second {
		t.Errorf("a reload took %v", took)
	}
	<-said // alice's sessions were ended by it
}
