package jwtauth

import (
	"crypto/sha256"
	"time"
)

// sweepInterval is how often keys without live tokens are forgotten.
const sweepInterval = time.Minute

// digest stands for a jti or a nonce. Half of SHA-256 is beyond collisions.
type digest [16]byte

func digestOf(kind, text string) (d digest) {
	sum := sha256.Sum256([]byte(kind + text))
	copy(d[:], sum[:])
	return d
}

// entry is one token that was taken. It is kept for as long as the token could
// be fresh: until a moment of the clock that never goes back, or, for a token
// with a nonce, until the nonce must have lapsed.
type entry struct {
	id       digest
	nonce    digest
	hasNonce bool
	expires  NumericDate
	lapses   time.Duration
}

func (e *entry) dead(at instant) bool {
	if e.hasNonce {
		return at.elapsed >= e.lapses
	}
	return at.high >= e.expires
}

// replays remembers what was taken, bounded per key, so that one busy key
// locks nobody else out, and in keys. When full it refuses: forgetting would
// let a token in twice. Its user holds a lock.
type replays struct {
	perKey, keys int
	taken        map[string][]entry
	swept        time.Duration
}

func newReplays(perKey, keys int) replays {
	return replays{perKey: perKey, keys: keys, taken: make(map[string][]entry)}
}

// take returns "" when the entry is new and is now remembered, else the reason.
func (r *replays) take(kid string, e entry, at instant) string {
	entries, known := r.taken[kid]
	live := entries[:0]
	for _, old := range entries {
		if !old.dead(at) {
			live = append(live, old)
		}
	}
	if known {
		r.taken[kid] = live
	}
	if reason := clash(live, e); reason != "" {
		return reason
	}
	if len(live) >= r.perKey || !known && !r.room(at) {
		return ReasonReplayFull
	}
	r.taken[kid] = append(live, e)
	return ""
}

// clash says replay for a token that was taken, and nonce for another token
// that carries a used nonce.
func clash(live []entry, e entry) string {
	reason := ""
	for i := range live {
		switch {
		case live[i].id == e.id && e.id != e.nonce:
			return ReasonReplay
		case e.hasNonce && live[i].hasNonce && live[i].nonce == e.nonce:
			reason = ReasonNonce
		}
	}
	return reason
}

// room makes place for one more key, forgetting those without live entries.
func (r *replays) room(at instant) bool {
	if len(r.taken) < r.keys && at.elapsed-r.swept < sweepInterval {
		return true
	}
	r.swept = at.elapsed
	for kid, entries := range r.taken {
		alive := false
		for i := range entries {
			alive = alive || !entries[i].dead(at)
		}
		if !alive {
			delete(r.taken, kid)
		}
	}
	return len(r.taken) < r.keys
}
