package jwtauth

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// GuardState is what one image of the agent hands to the next, so that no token
// is taken twice and no nonce becomes void by an upgrade. It holds the secret
// that nonces are made with.
type GuardState struct {
	Floor    NumericDate   `json:"floor"`
	High     NumericDate   `json:"high"`
	Issued   NumericDate   `json:"issued"`
	Elapsed  time.Duration `json:"elapsed"` // since the guard's start
	Nonces   []byte        `json:"nonces"`  // the secret
	Identity []TakenState  `json:"identity"`
	Request  []TakenState  `json:"request"`
}

// TakenState is what was taken of one key.
type TakenState struct {
	Key     string `json:"key"`
	Entries []byte `json:"entries"` // of takenSize bytes each
}

// takenSize is a packed entry: its id, its nonce, whether it has one, when its
// token expires and when its nonce lapses.
const takenSize = 16 + 16 + 1 + 8 + 8

// State returns what the guard knows. Afterwards it must not be asked any more,
// unless the upgrade is given up.
func (g *Guard) State() GuardState {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.readLocked()
	return GuardState{
		Floor: g.floor, High: at.high, Issued: g.issued, Elapsed: at.elapsed,
		Nonces: slices.Clone(g.nonces.secret[:]), Identity: g.identity.state(at), Request: g.request.state(at),
	}
}

// RestoreGuard goes on with a guard whose state was taken since ago. What the
// clock said is kept: tokens from before the first start stay stale.
func RestoreGuard(cfg GuardConfig, st GuardState, since time.Duration) (*Guard, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := st.Check(); err != nil {
		return nil, err
	}
	now := cfg.Now()
	g := &Guard{
		now: cfg.Now, start: now.Add(-st.Elapsed - max(since, 0)), floor: st.Floor,
		nonces: new(nonces), high: st.High, issued: st.Issued, elapsed: st.Elapsed,
		// It covers nothing until it was written again, with the first token.
		mark:     &watermark{path: filepath.Join(cfg.StateDir, watermarkFile), floor: st.Floor, log: cfg.Log},
		identity: newReplays(cfg.PerKey, cfg.Keys), request: newReplays(cfg.PerKey, cfg.Keys),
	}
	copy(g.nonces.secret[:], st.Nonces)
	g.identity.restore(st.Identity)
	g.request.restore(st.Request)
	return g, nil
}

// Check says what in a state cannot be a guard's.
func (st *GuardState) Check() error {
	if len(st.Nonces) != sha256.Size || st.Elapsed < 0 {
		return errors.New("the guard's state has no secret or no age")
	}
	for _, d := range []NumericDate{st.Floor, st.High, st.Issued} {
		if d < 0 || d > maxDate {
			return fmt.Errorf("the guard's state: %w", errDate)
		}
	}
	for _, taken := range [][]TakenState{st.Identity, st.Request} {
		for _, k := range taken {
			if !isThumbprint(k.Key) || len(k.Entries)%takenSize != 0 {
				return errors.New("the guard's state has a key or tokens that are none")
			}
		}
	}
	return nil
}

// state leaves out what nobody can repeat any more.
func (r *replays) state(at instant) []TakenState {
	var all []TakenState
	for kid, entries := range r.taken {
		k := TakenState{Key: kid}
		for i := range entries {
			if !entries[i].dead(at) {
				k.Entries = entries[i].pack(k.Entries)
			}
		}
		if len(k.Entries) > 0 {
			all = append(all, k)
		}
	}
	return all
}

func (r *replays) restore(all []TakenState) {
	for _, k := range all {
		for b := k.Entries; len(b) > 0; b = b[takenSize:] {
			r.taken[k.Key] = append(r.taken[k.Key], unpackEntry(b))
		}
	}
}

func (e *entry) pack(dst []byte) []byte {
	dst = append(dst, e.id[:]...)
	dst = append(dst, e.nonce[:]...)
	var flag byte
	if e.hasNonce {
		flag = 1
	}
	dst = append(dst, flag)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.expires))
	return binary.BigEndian.AppendUint64(dst, uint64(e.lapses))
}

// unpackEntry is the inverse of pack.
func unpackEntry(b []byte) (e entry) {
	copy(e.id[:], b)
	copy(e.nonce[:], b[16:])
	e.hasNonce = b[32] != 0
	e.expires = NumericDate(binary.BigEndian.Uint64(b[33:]))
	e.lapses = time.Duration(binary.BigEndian.Uint64(b[41:]))
	return e
}

// WindowState is a [Window] on its way between two images of the agent.
type WindowState struct {
	High uint64 `json:"high"`
	Seen uint64 `json:"seen"`
}

// State returns what the window has taken.
func (w *Window) State() WindowState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return WindowState{w.high, w.seen}
}

// Restore makes a window that was not used yet one that has taken what st says.
func (w *Window) Restore(st WindowState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.high, w.seen = st.High, st.Seen
}
