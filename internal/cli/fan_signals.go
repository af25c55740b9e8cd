package cli

import (
	"os"
	"os/signal"
	"sync"
)

// interrupts brings Ctrl-C to every program that runs. It is safe for concurrent
// use.
type interrupts struct {
	once chan struct{} // closed by the first

	mu       sync.Mutex
	asked    os.Signal
	sessions map[remote]struct{}
}

// listen has the first Ctrl-C sent to every program, as a terminal would, and no
// more begun. The second, or any other signal that ends a program, hangs up.
func (a *fleet) listen() (stop func()) {
	a.asked = interrupts{once: make(chan struct{}), sessions: map[remote]struct{}{}}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endingSignals...)
	done := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case s := <-signals:
				if a.interrupted(s) {
					// Whoever asks again does not want to wait for an orderly end.
					signal.Stop(signals)
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-over
	}
}

// interrupted does what a signal asks for, and reports whether that is the end.
func (a *fleet) interrupted(s os.Signal) (end bool) {
	first := a.asked.take(s)
	if s != os.Interrupt || !first {
		a.cancel(&signalled{s})
		return true
	}
	sessions := a.asked.running()
	if len(sessions) == 0 {
		a.cancel(&signalled{s})
		return true
	}
	for _, session := range sessions {
		_ = session.Signal("INT") // one that is over needs none
	}
	a.ui.note("interrupted %s; Ctrl-C again hangs up", plural(len(sessions), "program", "programs"))
	return false
}

// take reports whether this is the first signal.
func (i *interrupts) take(s os.Signal) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.asked != nil {
		return false
	}
	i.asked = s
	close(i.once)
	return true
}

func (i *interrupts) first() os.Signal {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *interrupts) running() (all []remote) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for session := range i.sessions {
		all = append(all, session)
	}
	return all
}

// follow has a session interrupted with the others, until it is left. One that is
// opened too late is interrupted at once.
func (i *interrupts) follow(session remote) (leave func()) {
	i.mu.Lock()
	i.sessions[session] = struct{}{}
	late := i.asked != nil
	i.mu.Unlock()
	if late {
		_ = session.Signal("INT")
	}
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.sessions, session)
	}
}
