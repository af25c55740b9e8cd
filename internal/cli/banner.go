package cli

import (
	"io"
	"strings"

	"shellagent/shell"
)

// banner shows what an agent has people read before a session, without what
// could do more to a terminal than to be read. Beside [ui.line], it is the one
// thing that is said without this program's name.
func (u *ui) banner(text string) {
	if text == "" || u.quiet {
		return
	}
	if len(text) > shell.MaxBanner {
		text = text[:shell.MaxBanner]
	}
	var shown strings.Builder
	for line := range strings.Lines(text) {
		shown.WriteString(clean(strings.ReplaceAll(line, "\t", "    ")) + "\n")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	// Nobody is left to be told that standard error fails.
	_, _ = io.WriteString(u.out, shown.String())
}
