package fanout

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// progressTick is how often the progress is drawn, progressDelay when first.
	progressTick  = 250 * time.Millisecond
	progressDelay = 500 * time.Millisecond
	// progressNames bounds how many of those that run are looked at for a line.
	progressNames = 32
)

// Progress shows on a terminal how many targets are done, and who is running. It
// is safe for concurrent use.
type Progress struct {
	screen *Screen
	labels []string
	width  func() int

	mu      sync.Mutex
	running []int
	done    int
	failed  int
}

// NewProgress returns a progress that [Progress.Show] draws. width is the
// terminal's, in columns.
func NewProgress(screen *Screen, labels []string, width func() int) *Progress {
	return &Progress{screen: screen, labels: labels, width: width}
}

// Began says that a target's program runs.
func (p *Progress) Began(target int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, target)
}

// Done says that a target is done, begun or not.
func (p *Progress) Done(target int, r Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.running, target); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
	if p.done++; !r.OK() {
		p.failed++
	}
}

// Show draws until ctx ends, and takes away what it drew.
func (p *Progress) Show(ctx context.Context) {
	timer := time.NewTimer(progressDelay)
	defer timer.Stop()
	defer p.screen.Status("")
	for {
		select {
		case <-timer.C:
			timer.Reset(progressTick)
			p.screen.Status(p.line())
		case <-ctx.Done():
			return
		}
	}
}

// line is empty until a program has run: somebody may be asked for a passphrase.
func (p *Progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.running) == 0 && p.done == 0 {
		return ""
	}
	text := fmt.Sprintf("%d of %d done", p.done, len(p.labels))
	if p.failed > 0 {
		text += fmt.Sprintf(", %d failed", p.failed)
	}
	room := p.width() - 1 // the last column would wrap on some
	separator := "; running: "
	for i, target := range p.running[:min(len(p.running), progressNames)] {
		more := fmt.Sprintf(" and %d more", len(p.running)-i)
		name := separator + p.labels[target]
		if utf8.RuneCountInString(text+name) > room-len(more) {
			text += more
			break
		}
		text += name
		separator = ", "
	}
	if utf8.RuneCountInString(text) > room {
		text = string([]rune(text)[:max(0, room)])
	}
	return text
}
