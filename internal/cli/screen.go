package cli

import (
	"io"
	"sync"
	"time"

	"shellagent/internal/terminal"
)

// screen is where a program draws. What it makes of the person's terminal is
// undone when it is left, which may be in the middle of an editor. It is safe
// for concurrent use.
type screen struct {
	out   io.WriteCloser
	drawn bool // out is a terminal

	mu        sync.Mutex
	modes     terminal.Modes
	old       uint64 // bytes to come that were printed for others
	questions terminal.Questions
	left      bool
}

// screen returns the person's terminal. The first old bytes are shown without
// what they ask of it: nobody waits for the answers any more.
func (s *surroundings) screen(old uint64) *screen {
	return &screen{out: terminal.OpenOutput(s.stdout), drawn: terminal.Is(s.stdout), old: old}
}

// Write shows what a program printed, until the screen is left.
func (c *screen) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return 0, errLeft
	}
	shown := p
	if c.old > 0 {
		n := min(uint64(len(p)), c.old)
		shown = c.questions.Drop(nil, p[:n])
		if c.old -= n; c.old == 0 {
			shown = append(append(shown, c.questions.Rest()...), p[n:]...)
		}
	}
	c.modes.See(shown)
	if _, err := c.out.Write(shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// leave undoes what the program made of the terminal. A terminal that takes
// nothing is not waited for.
func (c *screen) leave() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.left {
			c.left = true
			c.tell(c.modes.Undo())
			c.out.Close()
		}
	}()
	select {
	case <-done:
	case <-time.After(shortGoodbye):
	}
}

// lend undoes it for others, and shows nothing before takeBack.
func (c *screen) lend() {
	c.mu.Lock()
	c.tell(c.modes.Undo())
}

func (c *screen) takeBack() {
	defer c.mu.Unlock()
	c.tell(c.modes.Redo())
}

// isFilled says that the program has to draw again what others drew over.
func (c *screen) isFilled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.modes.FillsScreen()
}

func (c *screen) tell(sequences []byte) {
	if c.drawn && len(sequences) > 0 {
		_, _ = c.out.Write(sequences)
	}
}
