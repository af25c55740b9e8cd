package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// house is a registry whose sessions run fake programs.
type house struct {
	*testing.T
	*Registry
	programs map[string]*fakeProgram
}

func inHouse(t *testing.T, limit int, play func(*house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{T: t, Registry: NewRegistry(limit), programs: map[string]*fakeProgram{}}
		play(h)
		h.HangUpAll("")
		later(2 * time.Hour)
		if len(h.byID) != 0 || len(h.byKid) != 0 {
			t.Errorf("%d sessions and %d keys are left", len(h.byID), len(h.byKid))
		}
	})
}

func opening(id string) Opening {
	return Opening{ID: id, Key: "ann", Hash: "hash of " + id, Source: "debug"}
}

func (h *house) start(o Opening) func() (*Session, error) {
	return func() (*Session, error) {
		h.programs[o.ID] = newFakeProgram()
		cfg := SessionConfig{ID: o.ID, Grant: Grant{Source: o.Source, Key: o.Key, Limits: Limits{Linger: time.Minute}}}
		return NewSession(cfg, h.programs[o.ID]), nil
	}
}

func (h *house) open(o Opening) *Session {
	h.Helper()
	s, existed, err := h.Open(h.Context(), o, h.start(o))
	if err != nil || existed {
		h.Fatalf("open %s: %v, existed %v", o.ID, err, existed)
	}
	return s
}

func TestOpenTwiceStartsOnce(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		type answer struct {
			s       *Session
			existed bool
			err     error
		}
		answers := make(chan answer)
		starting, starts := make(chan struct{}), 0
		for range 5 {
			go func() {
				s, existed, err := h.Open(h.Context(), opening("a"), func() (*Session, error) {
					starts++
					<-starting
					return h.start(opening("a"))()
				})
				answers <- answer{s, existed, err}
			}()
		}
		synctest.Wait()
		if h.Len("debug") != 1 || h.ByID("a") != nil {
			h.Error("a session that is being started counts, and is not there yet")
		}
		impatient, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		if _, existed, err := h.Open(impatient, opening("a"), nil); !existed || !errors.Is(err, context.DeadlineExceeded) {
			h.Errorf("who does not wait: %v, %v", existed, err)
		}
		close(starting)
		fresh := 0
		for range 5 {
			a := <-answers
			if a.err != nil || a.s == nil || a.s != h.ByID("a") {
				h.Errorf("got %v, %v", a.s, a.err)
			}
			if !a.existed {
				fresh++
			}
		}
		if fresh != 1 || starts != 1 {
			h.Errorf("%d starts, %d fresh answers", starts, fresh)
		}
		for _, o := range []Opening{
			{ID: "a", Key: "bob", Hash: "hash of a"},
			{ID: "a", Key: "ann", Hash: "another hash"},
		} {
			_, _, err := h.Open(h.Context(), o, nil)
			wantReason(h, err, ReasonSessionConflict)
		}
		// Ended, it is still the answer to a repeated open.
		h.programs["a"].end(Exit{})
		<-h.ByID("a").Done()
		if s, existed, err := h.Open(h.Context(), opening("a"), nil); err != nil || !existed || s != h.ByID("a") {
			h.Errorf("a repeated open after the end: %v, %v", existed, err)
		}
	})
}

func TestOpenThatFails(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		broken := errors.New("no such shell")
		wait, second := make(chan struct{}), make(chan error)
		go func() {
			_, _, err := h.Open(h.Context(), opening("a"), func() (*Session, error) { <-wait; return nil, broken })
			second <- err
		}()
		synctest.Wait()
		go func() {
			_, _, err := h.Open(h.Context(), opening("a"), nil)
			second <- err
		}()
		synctest.Wait()
		close(wait)
		for range 2 {
			if err := <-second; !errors.Is(err, broken) {
				h.Errorf("got %v", err)
			}
		}
		func() {
			defer func() { _ = recover() }()
			_, _, _ = h.Open(h.Context(), opening("a"), func() (*Session, error) { panic("bug") })
		}()
		if h.Len("") != 0 {
			h.Error("a failed start is left")
		}
		h.open(opening("a"))
	})
}

func TestMaxSessions(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		bounded := func(id, source string) Opening {
			o := opening(id)
			o.Source, o.MaxSessions = source, 2
			return o
		}
		first := h.open(bounded("a", "debug"))
		h.open(bounded("b", "debug"))
		_, _, err := h.Open(h.Context(), bounded("c", "debug"), nil)
		wantReason(h, err, ReasonMaxSessions)
		h.open(bounded("c", "other")) // another source has room of its own
		h.programs["a"].end(Exit{})
		<-first.Done()
		h.open(bounded("d", "debug")) // what has ended does not count
		if h.Len("debug") != 2 || h.Len("") != 3 || len(h.List(nil)) != 4 {
			h.Errorf("%d, %d live, %d listed", h.Len("debug"), h.Len(""), len(h.List(nil)))
		}
	})
}

func TestRegistryIsBounded(t *testing.T) {
	inHouse(t, 3, func(h *house) {
		for _, id := range []string{"a", "b", "c"} {
			h.open(opening(id))
		}
		_, _, err := h.Open(h.Context(), opening("d"), nil)
		wantReason(h, err, ReasonUnavailable)
		for _, id := range []string{"b", "a"} {
			h.programs[id].end(Exit{})
			<-h.ByID(id).Done()
			later(time.Second)
		}
		h.open(opening("d"))
		if h.ByID("b") != nil || h.ByID("a") == nil {
			h.Error("room is made by forgetting what ended first")
		}
	})
}

func TestKeysLeadToTheirSession(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		a, b := h.open(opening("a")), h.open(opening("b"))
		if _, err := a.TakeOver("second", home); err != nil {
			h.Fatal(err)
		}
		if h.ByKid("a") != a || h.ByKid("second") != a || h.ByKid("b") != b || h.ByKid("x") != nil {
			h.Error("a key leads elsewhere")
		}
		for _, kid := range []string{"a", "second"} {
			_, err := b.TakeOver(kid, home)
			wantReason(h, err, ReasonSessionConflict)
			_, _, err = h.Open(h.Context(), Opening{ID: kid, Key: "eve", Hash: "x"}, nil)
			wantReason(h, err, ReasonSessionConflict)
		}
		for i := range 3 * maxSessionKeys {
			if _, err := a.TakeOver(fmt.Sprint("k", i), home); err != nil {
				h.Fatal(err)
			}
		}
		if len(h.byKid) != maxSessionKeys+1 {
			h.Errorf("%d keys are remembered", len(h.byKid))
		}
	})
}

func TestStopping(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		attached, detached := h.open(opening("a")), h.open(opening("b"))
		st, err := attached.Attach("a", home, 0)
		if err != nil {
			h.Fatal(err)
		}
		ended := h.open(opening("c"))
		h.programs["c"].end(Exit{})
		starting, late := make(chan struct{}), make(chan *Session)
		go func() {
			s, _, _ := h.Open(h.Context(), opening("d"), func() (*Session, error) {
				<-starting
				return h.start(opening("d"))()
			})
			late <- s
		}()
		synctest.Wait()

		h.HangUpAll("agent is stopping")
		stopped := make(chan error)
		go func() { stopped <- h.Wait(h.Context()) }()
		synctest.Wait()
		_, _, err = h.Open(h.Context(), opening("e"), nil)
		wantReason(h, err, ReasonStopping)

		buf := make([]byte, 1<<10)
		f, err := st.Next(h.Context(), buf)
		var n Notice
		if err != nil || json.Unmarshal(f.Data, &n) != nil || n.Code != "stopping" {
			h.Errorf("first a notice, got %v %s, %v", f.Type, f.Data, err)
		}
		f, err = st.Next(h.Context(), buf)
		var e Exit
		if err != nil || json.Unmarshal(f.Data, &e) != nil || e.Reason != "agent is stopping" {
			h.Errorf("then the exit, got %v %s, %v", f.Type, f.Data, err)
		}
		close(starting)
		if s := <-late; s == nil || !s.isHungUp() {
			h.Error("a session that was being started lives on")
		}
		synctest.Wait()
		select {
		case err := <-stopped:
			h.Errorf("the agent stops before its client has acknowledged the exit: %v", err)
		default:
		}
		if _, err := attached.Stdin(h.Context(), "a", Stdin{Ack: f.End}); err != nil {
			h.Fatal(err)
		}
		if err := <-stopped; err != nil {
			h.Error(err)
		}
		if _, err := st.Next(h.Context(), buf); err != io.EOF {
			h.Errorf("the stream's end: %v", err)
		}
		for _, s := range []*Session{detached, ended} {
			<-s.Done()
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		h.open(opening("a"))
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		if err := h.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			h.Errorf("got %v", err)
		}
	})
}

func TestListIsOldestFirst(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		for i := range 5 {
			h.open(opening(fmt.Sprint(5 - i)))
			later(time.Second)
		}
		got := ""
		for _, s := range h.List(func(s *Session) bool { return s.ID() != "3" }) {
			got += s.ID()
		}
		if got != "5421" {
			h.Errorf("got %s", got)
		}
	})
}
