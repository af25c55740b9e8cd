package cli

import "sync"

// maxTypeahead bounds what is typed or pasted while nothing can be sent, in
// bytes. Beyond it keys are not read, so that the terminal makes the person wait.
const maxTypeahead = 4 << 20

// typeahead keeps what was typed until the session takes it, so that "~." is
// seen even while the session takes nothing.
type typeahead struct {
	mu     sync.Mutex
	change sync.Cond
	kept   []byte
	ended  bool // nothing more comes
	closed bool // nothing more goes
}

func newTypeahead() *typeahead {
	a := &typeahead{}
	a.change.L = &a.mu
	return a
}

// put adds keys. It waits while there are too many.
func (a *typeahead) put(p []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.kept) > 0 && len(a.kept)+len(p) > maxTypeahead && !a.closed {
		a.change.Wait()
	}
	a.kept = append(a.kept, p...)
	a.change.Broadcast()
}

// end says that nothing more is put.
func (a *typeahead) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.change.Broadcast()
}

// close gives up what is kept and wakes whoever waits.
func (a *typeahead) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.change.Broadcast()
}

// take returns all that is kept; nil means that nothing more comes.
func (a *typeahead) take(spare []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.kept) == 0 && !a.ended && !a.closed {
		a.change.Wait()
	}
	if a.closed || len(a.kept) == 0 {
		return nil
	}
	all := a.kept
	a.kept = spare[:0]
	a.change.Broadcast()
	return all
}

// sendTo gives what is typed to a session until either ends.
func (a *typeahead) sendTo(r remote) {
	var spare []byte
	for {
		p := a.take(spare)
		if p == nil {
			break
		}
		if _, err := r.Write(p); err != nil {
			// The session is over, which its output tells better.
			return
		}
		spare = p
	}
	a.mu.Lock()
	gone := a.closed
	a.mu.Unlock()
	if !gone {
		_ = r.CloseWrite()
	}
}
