package fanout

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Printer shows what targets print. Its writers are each for one goroutine, and
// keep nothing of what they are given; different ones may be used at once.
type Printer interface {
	// Streams returns where a target's program writes.
	Streams(target int) (stdout, stderr io.Writer)
	// Done is called once for each target, after its last write.
	Done(target int, r Result) error
}

// Style is how names are shown on a stream.
type Style struct {
	// Colour tells targets apart by colour.
	Colour bool
	// Align has all names take as much room as the longest.
	Align bool
}

// Lines puts the target's name before each line: "web1 | text". A line of more than
// MaxLine bytes is shown as several, the later ones with "+" for "|". What has no
// end of line is given one.
type Lines struct {
	screen  *Screen
	labels  []string
	widest  int
	style   map[Stream]Style
	writers [][]*lineWriter
}

var _ Printer = (*Lines)(nil)

// NewLines returns a printer for targets of these names.
func NewLines(screen *Screen, labels []string, stdout, stderr Style) *Lines {
	l := &Lines{screen: screen, labels: labels, style: map[Stream]Style{Stdout: stdout, Stderr: stderr}, writers: make([][]*lineWriter, len(labels))}
	for _, label := range labels {
		l.widest = max(l.widest, utf8.RuneCountInString(label))
	}
	return l
}

// Streams implements [Printer].
func (l *Lines) Streams(target int) (stdout, stderr io.Writer) {
	out, err := l.writer(target, Stdout), l.writer(target, Stderr)
	l.writers[target] = []*lineWriter{out, err}
	return out, err
}

// Done implements [Printer].
func (l *Lines) Done(target int, _ Result) error {
	for _, w := range l.writers[target] {
		w.pieces.end(w.add)
		if err := w.flush(); err != nil {
			return err
		}
	}
	l.writers[target] = nil
	return nil
}

func (l *Lines) writer(target int, to Stream) *lineWriter {
	return &lineWriter{screen: l.screen, to: to, first: l.head(target, to, "|"), later: l.head(target, to, "+")}
}

// colours are of the names, by SGR's number: none that means good or bad.
var colours = []string{"36", "35", "34", "96", "95", "94"}

func (l *Lines) head(target int, to Stream, mark string) string {
	text, style := l.labels[target], l.style[to]
	if style.Align {
		text += strings.Repeat(" ", l.widest-utf8.RuneCountInString(text))
	}
	text += " " + mark
	if style.Colour {
		text = "\x1b[" + colours[target%len(colours)] + "m" + text + "\x1b[m"
	}
	return text + " "
}

// flushSize is when lines that came at once are written, in bytes.
const flushSize = 64 << 10

type lineWriter struct {
	screen       *Screen
	to           Stream
	first, later string
	pieces       pieces
	buf          []byte
	err          error
}

// Write implements [io.Writer]. It writes the lines that are whole.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.pieces.add(p, w.add)
	return len(p), w.flush()
}

func (w *lineWriter) add(piece []byte, later bool) {
	head := w.first
	if later {
		head = w.later
	}
	w.buf = append(append(w.buf, head...), piece...)
	if piece[len(piece)-1] != '\n' {
		w.buf = append(w.buf, '\n')
	}
	if len(w.buf) >= flushSize {
		_ = w.flush()
	}
}

func (w *lineWriter) flush() error {
	if err := w.screen.write(w.to, w.buf); err != nil {
		w.err = err
	}
	w.buf = w.buf[:0]
	return w.err
}
