package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Keeping says how many of a trail's files are kept.
type Keeping struct {
	// Files are kept at most, besides the one that is written; 0 means
	// [DefaultKeep].
	Files int
	// Refuse keeps the files that a sink has not sent yet, and lets no session
	// begin while there are more than Files of them, or while the trail cannot be
	// written; at twice as many the oldest go all the same. Without it the oldest
	// go, and the sink itself tells by trail.lost which lines it did not get.
	Refuse bool
}

// DefaultKeep is the number of files that are kept.
const DefaultKeep = 16

func (k Keeping) withDefaults() Keeping {
	if k.Files <= 0 {
		k.Files = DefaultKeep
	}
	return k
}

// Spool are the readers of a trail's files, as the log sees them.
type Spool interface {
	// Wake tells that lines were added. It does not block.
	Wake()
	// Behind are the numbers of the next line that each reader needs, by name.
	Behind() map[string]uint64
}

// SetSpool tells the log who reads its files; nil means nobody.
func (l *Log) SetSpool(s Spool) {
	l.mu.Lock()
	l.spool = s
	l.mu.Unlock()
	l.nudge()
}

// SetKeeping changes how many files are kept.
func (l *Log) SetKeeping(k Keeping) {
	l.mu.Lock()
	l.keep = k.withDefaults()
	l.mu.Unlock()
	l.nudge()
}

// ErrFull is why no session begins; see [Keeping].
var ErrFull = errors.New("the audit trail has no room")

// Admit says whether a session may begin.
func (l *Log) Admit() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.keep.Refuse:
		return nil
	case l.overfull:
		return fmt.Errorf("%w: its sinks have not taken what is kept for them", ErrFull)
	case l.state.Err != nil:
		return fmt.Errorf("%w: %w", ErrFull, l.state.Err)
	}
	return nil
}

// tidy removes files that need not be kept.
func (l *Log) tidy() {
	l.mu.Lock()
	keep, spool := l.keep, l.spool
	l.mu.Unlock()
	files, err := Files(l.cfg.Dir)
	if err != nil {
		return // it is not there yet
	}
	behind := map[string]uint64{}
	if spool != nil {
		behind = spool.Behind()
	}
	overfull := false
	for len(files) > keep.Files+1 {
		next, _ := firstLine(filepath.Base(files[1]))
		needed := false
		for _, n := range behind {
			needed = needed || n < next
		}
		if needed && keep.Refuse && len(files) <= 2*keep.Files+1 {
			overfull = true
			break
		}
		if err := os.Remove(files[0]); err != nil {
			l.log.Error("an old file of the audit trail cannot be removed", "file", files[0], "err", err)
			break
		}
		for name, n := range behind {
			if n < next {
				l.log.Error("a file of the audit trail is removed before a sink took it all", "sink", name, "file", files[0])
			}
		}
		files = files[1:]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.overfull = overfull
}
