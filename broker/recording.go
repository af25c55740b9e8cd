package broker

import (
	"net/netip"

	"shellagent/shell"
)

// RecordFunc begins a recording before the session's program starts. The error
// says that the session may not begin without.
type RecordFunc func(id string, grant shell.Grant, open shell.OpenRequest, remote netip.AddrPort) (Recording, error)

// Recording is one that was begun. Either Follow or Discard is called, once.
type Recording interface {
	// Tap is what the session has to offer; nil when it is not recorded after all.
	Tap() *shell.TapOptions
	// Follow records the session until its end, and returns at once.
	Follow(*shell.Session)
	// Discard gives the recording up: its program did not start.
	Discard()
}

// record begins the recording that a grant asks for, or none.
func (b *Broker) record(id string, grant shell.Grant, open shell.OpenRequest, remote netip.AddrPort) (Recording, error) {
	if b.records == nil || grant.Record == nil {
		return unrecorded{}, nil
	}
	return b.records(id, grant, open, remote)
}

type unrecorded struct{}

func (unrecorded) Tap() *shell.TapOptions { return nil }
func (unrecorded) Follow(*shell.Session)  {}
func (unrecorded) Discard()               {}
