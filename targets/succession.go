package targets

import (
	"errors"
	"fmt"
	"time"

	"shellagent/jwtauth"
)

// nextMark begins the comment of a line that was announced, before the
// thumbprint of the key that comes before it.
const nextMark = "next-of:"

// Announce records that next follows current at a base URL, beside it and in the
// place of what was announced before. It reports false, and changes nothing,
// when that is known, or when current is not.
func (k *KnownHosts) Announce(baseURL string, current, next jwtauth.PublicKey) bool {
	known := false
	for _, h := range k.At(baseURL) {
		if h.Key.Equal(next) {
			return false
		}
		known = known || h.Key.Equal(current)
	}
	if !known {
		return false
	}
	k.Withdraw(baseURL, current)
	k.add(KnownHost{BaseURL: baseURL, Key: next, NextOf: current.Thumbprint()})
	return true
}

// Withdraw forgets what was announced to follow current. It reports whether
// anything was.
func (k *KnownHosts) Withdraw(baseURL string, current jwtauth.PublicKey) bool {
	before := len(k.lines)
	k.remove(func(h *KnownHost) bool { return h.BaseURL == baseURL && h.NextOf == current.Thumbprint() })
	return len(k.lines) < before
}

// Succeed makes a key that was announced the agent's own, and forgets the one
// before. It reports false, and changes nothing, when it was not announced.
func (k *KnownHosts) Succeed(baseURL string, key jwtauth.PublicKey) bool {
	for _, h := range k.At(baseURL) {
		if h.NextOf == "" || !h.Key.Equal(key) {
			continue
		}
		k.remove(func(other *KnownHost) bool {
			return other.BaseURL == baseURL && (other.Key.Equal(key) || other.Key.Thumbprint() == h.NextOf)
		})
		k.add(KnownHost{BaseURL: baseURL, Key: key})
		return true
	}
	return false
}

// Lesson is what an announcement changed.
type Lesson struct {
	// Next is the host key that follows; zero for none.
	Next jwtauth.PublicKey
	// Recorded: it was put beside the known one in known_hosts just now.
	Recorded bool
	// Withdrawn: one that was announced before is not any more, and was forgotten.
	Withdrawn bool
}

var errUnchanged = errors.New("nothing to change")

// Learn takes what the agent announces of its next host key, nil for nothing. A
// key that it believes is accepted by Peer.TLS from then on, and recorded beside
// the known one. An announcement that the known key did not sign is an error
// and changes nothing. It may be called by several goroutines.
func (p *Peer) Learn(s *jwtauth.Succession) (Lesson, error) {
	p.learning.Lock()
	defer p.learning.Unlock()
	if s == nil {
		return p.unlearn()
	}
	next, err := s.Verify(p.HostKey, time.Now())
	if err != nil {
		return Lesson{}, fmt.Errorf("%s announces another host key, which is not believed: %w", p.Target.BaseURL, err)
	}
	if before := p.check.next.Swap(&next); before != nil && before.Equal(next) {
		return Lesson{Next: next}, nil
	}
	lesson := Lesson{Next: next}
	lesson.Recorded, err = p.change(func(k *KnownHosts, base string) bool { return k.Announce(base, p.HostKey, next) })
	return lesson, err
}

// unlearn forgets what was announced and is not any more.
func (p *Peer) unlearn() (lesson Lesson, err error) {
	announced := p.check.next.Swap(nil) != nil
	for _, h := range p.check.known {
		announced = announced || h.NextOf == p.HostKey.Thumbprint()
	}
	if announced {
		lesson.Withdrawn, err = p.change(func(k *KnownHosts, base string) bool { return k.Withdraw(base, p.HostKey) })
	}
	return lesson, err
}

// change edits known_hosts, if there is one and edit says that it did.
func (p *Peer) change(edit func(k *KnownHosts, base string) bool) (changed bool, err error) {
	if p.trust.File == "" {
		return false, nil
	}
	err = UpdateKnownHosts(p.trust.File, func(k *KnownHosts) error {
		if changed = edit(k, p.Target.BaseURL.String()); !changed {
			return errUnchanged
		}
		return nil
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	return changed && err == nil, err
}
