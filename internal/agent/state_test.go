package agent

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"shellagent/broker"
	"shellagent/internal/handover"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// goodHead is a head without sessions.
func goodHead(t testing.TB) stateHead {
	t.Helper()
	guard, err := jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return stateHead{Agent: "test", StateDir: "/state", Lock: 3, Listeners: []int{4}, Guard: guard.State()}
}

func goodSession(t testing.TB) sessionRecord {
	t.Helper()
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	jwk := string(key.PublicKey().JWK())
	var s sessionRecord
	text := `{"session": {"opening": {"ID": "id"}, "keys": ["id"]}, "asked": {"key": ` + jwk + `}, "clients": [{"key": ` + jwk + `}],
		"program": {"pid": 77, "pidfd": -1, "pipes": {"in": 5, "out": {"fd": 6}, "err": {"fd": 7}}, "tree": {"mark": "m"}}}`
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	s.Session.Input = shell.InputState{Next: 3, Queued: [][]byte{[]byte("abc")}}
	s.Session.Output.Records = [][]byte{[]byte("\x02\x00\x00\x05hello")}
	return s
}

// sealed writes a state of records as they are.
func sealed(t testing.TB, records ...any) *os.File {
	t.Helper()
	w, err := handover.Create()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if text, plain := r.([]byte); plain {
			err = w.Bytes(text)
		} else {
			err = w.JSON(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func stateOf(t testing.TB, head stateHead, s sessionRecord) *os.File {
	t.Helper()
	head.Sessions = 1
	return sealed(t, head, s, bytes.Join(s.Session.Output.Records, nil), bytes.Join(s.Session.Input.Queued, nil))
}

func TestCheckState(t *testing.T) {
	f := stateOf(t, goodHead(t), goodSession(t))
	defer f.Close()
	if err := checkState(f); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*stateHead, *sessionRecord){
		"no socket":              func(h *stateHead, _ *sessionRecord) { h.Listeners = nil },
		"standard input":         func(h *stateHead, _ *sessionRecord) { h.Listeners = []int{0} },
		"metrics without socket": func(h *stateHead, _ *sessionRecord) { h.Metrics = "127.0.0.1:1" },
		"metrics on stdin":       func(h *stateHead, _ *sessionRecord) { h.Metrics, h.Scrapes = "127.0.0.1:1", 1 },
		"no lock":                func(h *stateHead, _ *sessionRecord) { h.Lock = -1 },
		"no directory":           func(h *stateHead, _ *sessionRecord) { h.StateDir = "" },
		"a penalty below zero": func(h *stateHead, _ *sessionRecord) {
			h.Penalties = []broker.PenaltyState{{From: netip.MustParsePrefix("192.0.2.1/32"), Points: -1}}
		},
		"nobody's penalty":       func(h *stateHead, _ *sessionRecord) { h.Penalties = []broker.PenaltyState{{Points: 1}} },
		"no secret":              func(h *stateHead, _ *sessionRecord) { h.Guard.Nonces = nil },
		"no program":             func(_ *stateHead, s *sessionRecord) { s.Program = nil },
		"no program's number":    func(_ *stateHead, s *sessionRecord) { s.Program.PID = 0 },
		"an output that is none": func(_ *stateHead, s *sessionRecord) { s.Session.Output.Records = [][]byte{[]byte("\x09\x00\x00\x01x")} },
		"less input than said":   func(_ *stateHead, s *sessionRecord) { s.Session.Input.Next = 9 },
		"a lot of input":         func(_ *stateHead, s *sessionRecord) { s.Session.Input.Queued = [][]byte{make([]byte, maxInput+1)} },
		"nobody's key":           func(_ *stateHead, s *sessionRecord) { s.Clients = nil },
	} {
		head, s := goodHead(t), goodSession(t)
		spoil(&head, &s)
		f := stateOf(t, head, s)
		if err := checkState(f); err == nil {
			t.Errorf("%s: accepted", name)
		}
		f.Close()
	}
	head := goodHead(t)
	head.Sessions = 1
	for name, records := range map[string][]any{
		"nothing":            {},
		"a session missing":  {head},
		"bytes missing":      {head, goodSession(t)},
		"more than there is": {goodHead(t), goodSession(t)},
		"an unknown field":   {map[string]any{"agent": "x", "surprise": 1}},
	} {
		f := sealed(t, records...)
		if err := checkState(f); err == nil {
			t.Errorf("%s: accepted", name)
		}
		f.Close()
	}
}

func TestTakeOverRefuses(t *testing.T) {
	if earlier, err := takeOver(); earlier != nil || err != nil {
		t.Errorf("without anything to take over: %v, %v", earlier, err)
	}
	for _, text := range []string{"", "x", "1", "-5", "1000000"} {
		t.Setenv(stateVariable, text)
		if _, err := takeOver(); err == nil {
			t.Errorf("%q was taken for a state", text)
		}
		if _, left := os.LookupEnv(stateVariable); left {
			t.Error("children would see the variable")
		}
	}
}

// The age of a state is the kernel's, in whichever image it is asked for.
func TestAgeOfAState(t *testing.T) {
	earlier := takeover{stateHead: stateHead{Frozen: int64(monotonic() - time.Minute)}}
	if age := earlier.since(); age < time.Minute || age > time.Minute+10*time.Second {
		t.Errorf("a minute is %v", age)
	}
}

func FuzzCheckState(f *testing.F) {
	head, err := json.Marshal(goodHead(f))
	if err != nil {
		f.Fatal(err)
	}
	session, err := json.Marshal(goodSession(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(strings.Replace(string(head), `"sessions":0`, `"sessions":1`, 1)), session, []byte("\x02\x00\x00\x05hello"), []byte("abc"))
	f.Add(head, []byte(`{}`), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, head, session, output, input []byte) {
		if !json.Valid(head) || !json.Valid(session) {
			return
		}
		state := sealed(t, json.RawMessage(head), json.RawMessage(session), output, input)
		defer state.Close()
		_ = checkState(state)
	})
}
