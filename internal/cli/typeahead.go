package cli

import "sync"

// maxTypeahead bounds what is typed or pasted while nothing can be sent, in
// bytes. Beyond it keys are not read, so that the terminal makes the person wait.
const maxTypeahead = 4 << 20

// typeahead keeps what was typed until the session takes it, so that "~." is
// seen even while the session takes nothing.
type typeahead struct {
	// prompt, unless nil, may take a key at once: see [shellhttp.Session.WritePrompt].
	prompt func(p []byte) bool

	mu     sync.Mutex
	change sync.Cond
	kept   []byte
	taken  bool // what was kept is being sent
	ended  bool // nothing more comes
	closed bool // nothing more goes
}

// newTypeahead keeps what is typed for r.
func newTypeahead(r remote) *typeahead {
	a := &typeahead{}
	a.change.L = &a.mu
	if p, ok := r.(interface{ WritePrompt(p []byte) bool }); ok {
		a.prompt = p.WritePrompt
	}
	return a
}

// put adds keys. It waits while there are too many. It is for one goroutine.
func (a *typeahead) put(p []byte) {
	if a.prompt != nil && a.empty() && a.prompt(p) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.kept) > 0 && len(a.kept)+len(p) > maxTypeahead && !a.closed {
		a.change.Wait()
	}
	a.kept = append(a.kept, p...)
	a.change.Broadcast()
}

// empty says that what is put next overtakes nothing.
func (a *typeahead) empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.kept) == 0 && !a.taken && !a.closed
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
	a.taken = false
	for len(a.kept) == 0 && !a.ended && !a.closed {
		a.change.Wait()
	}
	if a.closed || len(a.kept) == 0 {
		return nil
	}
	all := a.kept
	a.kept, a.taken = spare[:0], true
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
