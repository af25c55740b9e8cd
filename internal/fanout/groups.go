package fanout

import (
	"io"
)

// Groups shows each target's output together once the target is done, below a line
// that names it and says how it ended: "== web1: exit 0". Standard output goes to
// standard output, with that line, and standard error to standard error, in the order
// in which they came. What has no end of line is given one.
type Groups struct {
	screen *Screen
	labels []string
	colour bool
	// apart says that the two streams do not go to the same place, so that both
	// have to be told whose output follows.
	apart  bool
	spools []*spool
}

var _ Printer = (*Groups)(nil)

// NewGroups returns a printer for targets of these names. apart says that standard
// error goes elsewhere than standard output.
func NewGroups(screen *Screen, labels []string, colour, apart bool) *Groups {
	return &Groups{screen: screen, labels: labels, colour: colour, apart: apart, spools: make([]*spool, len(labels))}
}

// Streams implements [Printer].
func (g *Groups) Streams(target int) (stdout, stderr io.Writer) {
	s := &spool{}
	g.spools[target] = s
	return spoolWriter{s, Stdout}, spoolWriter{s, Stderr}
}

type spoolWriter struct {
	*spool
	from Stream
}

// Write implements [io.Writer].
func (w spoolWriter) Write(p []byte) (int, error) {
	if err := w.add(w.from, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Done implements [Printer].
func (g *Groups) Done(target int, r Result) error {
	s := g.spools[target]
	if s == nil {
		s = &spool{}
	}
	defer s.close()
	g.spools[target] = nil
	g.screen.mu.Lock()
	defer g.screen.mu.Unlock()
	head := []byte(g.head(g.labels[target], r))
	if err := g.screen.put(Stdout, head); err != nil {
		return err
	}
	told := !g.apart
	last := map[Stream]byte{Stdout: '\n', Stderr: '\n'}
	err := s.replay(func(from Stream, p []byte) error {
		if from == Stderr && !told {
			told = true
			if err := g.screen.put(Stderr, head); err != nil {
				return err
			}
		}
		last[from] = p[len(p)-1]
		return g.screen.put(from, p)
	})
	for _, to := range []Stream{Stdout, Stderr} {
		if err == nil && last[to] != '\n' {
			err = g.screen.put(to, []byte("\n"))
		}
	}
	return err
}

func (g *Groups) head(label string, r Result) string {
	text := "== " + label + ": " + r.String()
	switch {
	case !g.colour:
	case r.OK():
		text = "\x1b[32m" + text + "\x1b[m"
	default:
		text = "\x1b[31m" + text + "\x1b[m"
	}
	return text + "\n"
}
