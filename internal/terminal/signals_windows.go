package terminal

import (
	"errors"
	"os"
	"sync"
	"time"
)

// Signals tells what the system says to a program at a terminal. A nil channel
// never delivers: the system has no such thing.
type Signals struct {
	// Resized: the window's size may have changed. A console does not say so:
	// it is to be asked twice a second.
	Resized   chan os.Signal
	Stop      chan os.Signal
	Continued chan os.Signal

	once   sync.Once
	closed chan struct{}
}

const askSize = 500 * time.Millisecond

// Listen starts delivery.
func Listen() *Signals {
	s := &Signals{Resized: make(chan os.Signal, 1), closed: make(chan struct{})}
	go func() {
		tick := time.NewTicker(askSize)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				select {
				case s.Resized <- os.Interrupt:
				default:
				}
			case <-s.closed:
				return
			}
		}
	}()
	return s
}

// Close ends delivery.
func (s *Signals) Close() { s.once.Do(func() { close(s.closed) }) }

// Suspend does not exist here.
func (t *Terminal) Suspend(bool) error {
	return errors.New("this system cannot suspend a program")
}
