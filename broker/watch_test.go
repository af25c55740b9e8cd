package broker

import (
	"bytes"
	"testing"

	"shellagent/shell"
)

// readTo reads a stream until it has shown some output.
func readTo(t *testing.T, reply *shell.Reply, want string) {
	t.Helper()
	var out []byte
	for !bytes.Contains(out, []byte(want)) {
		f, err := shell.ReadFrame(reply.Stream, make([]byte, 64<<10))
		if err != nil {
			t.Fatalf("after %q: %v", out, err)
		}
		if f.Type == shell.FrameStdout {
			out = append(out, f.Data...)
		}
	}
}

// A session is watched with the key that opened it, and with no other.
func TestWatch(t *testing.T) {
	alice, bob := newTestKey(t), newTestKey(t)
	a := newTestAgent(t, oneSource(alice, bob))
	s := a.open("debug", alice)
	look := a.sign(call("POST", s.target("watch"), nil), nil, alice, newTestKey(t).PublicKey())
	r := a.wantCode("the owner", look, "")
	if r.Stream == nil {
		t.Fatal("no stream")
	}
	defer r.Stream.Close()
	if _, err := a.programs()[0].say.Write([]byte("seen")); err != nil {
		t.Fatal(err)
	}
	readTo(t, r, "seen")

	again := a.wantCode("from an offset", a.sign(call("POST", s.target("watch")+"?from=2", nil), nil, alice, newTestKey(t).PublicKey()), "")
	defer again.Stream.Close()
	if f, err := shell.ReadFrame(again.Stream, make([]byte, 64<<10)); err != nil || f.Type != shell.FrameSession || f.End != 2 {
		t.Errorf("from an offset: %+v, %v", f, err)
	}
	readTo(t, again, "en")
	a.wantCode("beyond the end", a.sign(call("POST", s.target("watch")+"?from=9", nil), nil, alice, newTestKey(t).PublicKey()), "output_unavailable")
	a.wantCode("another query", a.sign(call("POST", s.target("watch")+"?from=02", nil), nil, alice, newTestKey(t).PublicKey()), "not_found")

	a.wantCode("another key", a.sign(call("POST", s.target("watch"), nil), nil, bob, newTestKey(t).PublicKey()), "session_not_found")
	a.wantCode("the session's key", s.sign(call("POST", s.target("watch"), nil), nil), "unauthorized")
	a.wantCode("another method", a.sign(call("GET", s.target("watch"), nil), nil, alice, newTestKey(t).PublicKey()), "method_not_allowed")
}
