package cli

import (
	"fmt"
	"io"

	"shellagent/internal/terminal"
	"shellagent/shell/shellhttp"
)

// Control sequences of ECMA-48 and the VT100: what a status needs to leave
// nothing behind.
const (
	saveCursor    = "\x1b7"
	restoreCursor = "\x1b8"
	noWrap        = "\x1b[?7l"
	wrap          = "\x1b[?7h"
	reverse       = "\x1b[7m"
	plain         = "\x1b[0m"
	eraseLine     = "\x1b[K"
)

// draw shows a status behind the terminal's cursor, where a prompt leaves the
// line empty. It moves nothing: a text that has no room is cut.
func (u *ui) draw(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drawn = true
	_, _ = io.WriteString(u.out, saveCursor+noWrap+reverse+" "+clean(text)+" "+plain+wrap+restoreCursor)
}

// undraw takes the status away. It returns false when that is done already.
func (u *ui) undraw() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.erase()
}

// erase is undraw with u.mu held.
func (u *ui) erase() bool {
	if !u.drawn {
		return false
	}
	u.drawn = false
	_, _ = io.WriteString(u.out, saveCursor+eraseLine+restoreCursor)
	return true
}

// outage returns what shows that a connection is lost: one line that goes away
// on a terminal, and two that stay elsewhere. redraw is called when the program
// may have to draw again what the line covered.
func (s *surroundings) outage(target, hint string, redraw func()) func(shellhttp.Outage) {
	erasable := s.ui.relay == nil && terminal.Is(s.stderr) && s.getenv("TERM") != "dumb" && s.getenv("TERM") != ""
	if s.escapes != (terminal.Escapes{}) {
		hint = "" // the keys are others
	}
	return func(o shellhttp.Outage) {
		switch {
		case s.ui.quiet:
		case o.Over && erasable:
			if s.ui.undraw() && redraw != nil {
				redraw()
			}
		case o.Over:
			s.ui.note(outageOver, target)
		case erasable:
			s.ui.draw(fmt.Sprintf(outage, target) + hint)
		default:
			s.ui.note(outage, target)
		}
	}
}
