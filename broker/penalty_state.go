package broker

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// PenaltyState is how much one address has against it when an agent is frozen.
type PenaltyState struct {
	From   netip.Prefix `json:"from"`
	Points float64      `json:"points"`
}

// Penalties are what addresses have against them now.
func (b *Broker) Penalties() []PenaltyState { return b.penalties.State() }

// RestorePenalties puts back what an older image of the agent had against
// addresses, since ago. It is called before calls are handled, with what
// [CheckPenalties] accepts.
func (b *Broker) RestorePenalties(all []PenaltyState, since time.Duration) {
	b.penalties.Restore(all, since)
}

// CheckPenalties says what in a state cannot be restored.
func CheckPenalties(all []PenaltyState) error {
	if len(all) > maxPenalties {
		return fmt.Errorf("%d addresses have penalties, more than are kept", len(all))
	}
	for _, s := range all {
		if !s.From.IsValid() || s.From != s.From.Masked() || !(s.Points > 0 && s.Points <= mostPoints) {
			return errors.New("a penalty is none")
		}
	}
	return nil
}

// State lists the addresses that have points left. What many addresses together
// have, which could not be told apart, is left out.
func (p *Penalties) State() (all []PenaltyState) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, has := range p.points {
		if left := has.left(now); left > 0 && from.IsValid() {
			all = append(all, PenaltyState{from, left})
		}
	}
	return all
}

// Restore adds what State listed since ago.
func (p *Penalties) Restore(all []PenaltyState, since time.Duration) {
	at := p.now().Add(-since)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range all {
		p.points[s.From] = points{s.Points, at}
	}
}
