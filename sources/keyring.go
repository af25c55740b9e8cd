package sources

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"shellagent/config"
)

// Bounds of what the configuration may name.
const (
	maxKeyFiles = 4096
	maxKeys     = 100_000
)

// globalEntries are those of verifyKeys and verifyKeysDir.
func (b *builder) globalEntries() []named {
	entries := b.entries("/verifyKeys", b.config.VerifyKeys)
	entries = append(entries, b.directory()...)
	for _, e := range entries {
		// Also a key that opens nothing is one that is known.
		b.known(e.entry)
		for i, name := range e.sources {
			if _, ok := b.config.Sources[name]; !ok {
				at := strings.SplitAfter(e.pointer, "/keys/")[0]
				b.bad(strings.TrimSuffix(at, "/keys/")+"/sources/"+strconv.Itoa(i), unknownSource(name, b.config.Sources))
			}
		}
	}
	return entries
}

func unknownSource(name string, known map[string]Source) error {
	if len(known) == 0 {
		return fmt.Errorf("there is no source %q; there is none at all", name)
	}
	names := slices.Sorted(maps.Keys(known))
	return fmt.Errorf("there is no source %q; there are: %s", name, strings.Join(names, ", "))
}

// entries compiles a list that stands at pointer. A subject has one entry in it,
// so that nobody's limits are spread over several.
func (b *builder) entries(pointer string, list []KeyEntry) []named {
	var all []named
	subjects := make(map[string]string)
	for i, e := range list {
		at := pointer + "/" + strconv.Itoa(i)
		entries, errs := e.compile(at)
		for _, err := range errs {
			var p config.PointerError
			if errors.As(err, &p) {
				b.bad(p.Pointer(), err)
			}
		}
		if first, twice := subjects[e.Subject]; twice && e.Subject != "" {
			b.bad(at+"/subject", fmt.Errorf("subject %q has another entry at %s; put all keys into one", e.Subject, first))
		}
		subjects[e.Subject] = at
		all = append(all, entries...)
	}
	return all
}

// directory reads verifyKeysDir.
func (b *builder) directory() []named {
	if b.config.VerifyKeysDir == "" {
		return nil
	}
	dir := b.path(b.config.VerifyKeysDir)
	b.policy.files = append(b.policy.files, dir)
	files, err := os.ReadDir(dir)
	if err != nil {
		b.bad("/verifyKeysDir", fmt.Errorf("%w; make the directory or remove the key", err))
		return nil
	}
	var all []named
	read := 0
	for _, f := range files {
		name := f.Name()
		if ext := filepath.Ext(name); strings.HasPrefix(name, ".") || ext != ".pub" && ext != ".keys" {
			continue
		}
		if read++; read > maxKeyFiles {
			b.bad("/verifyKeysDir", fmt.Errorf("%s has more than %d key files; join them", dir, maxKeyFiles))
			return nil
		}
		all = append(all, b.keyFile(filepath.Join(dir, name))...)
	}
	return all
}

// keyFile reads one file of verifyKeysDir. A line that is no key is a mistake:
// whoever put it there believes that it holds.
func (b *builder) keyFile(path string) []named {
	b.policy.files = append(b.policy.files, path)
	var entries []named
	for _, l := range b.lines("/verifyKeysDir", path) {
		e, err := newEntry(l.text)
		if err != nil {
			b.bad("/verifyKeysDir", fmt.Errorf("%s:%d: %w", path, l.number, err))
			continue
		}
		e.where, e.pointer = fmt.Sprintf("%s:%d", path, l.number), "/verifyKeysDir"
		entries = append(entries, named{entry: e, all: true})
	}
	return entries
}

type line struct {
	text   string
	number int
}

// lines reads a file of which others must not be able to write, without its
// comments and empty lines.
func (b *builder) lines(pointer, path string) []line {
	text, err := config.ReadTrusted(path)
	if err != nil {
		b.bad(pointer, err)
		return nil
	}
	var all []line
	n := 0
	for l := range strings.Lines(string(text)) {
		n++
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			all = append(all, line{l, n})
		}
	}
	return all
}

// path makes a configured path absolute.
func (b *builder) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(b.options.Dir, path)
}

// ring is the map of keys that open the source called name: a map of its own,
// made from its entries and the global ones that hold for it. Nothing of it is
// shared with another source but entries that cannot change.
func (b *builder) ring(name string, s Source, global []named) map[string]*entry {
	pointer := config.Pointer("sources", name, "verifyKeys")
	own := b.entries(pointer, s.VerifyKeys)
	ring := make(map[string]*entry, len(own)+len(global))
	for _, e := range own {
		if !e.all {
			b.bad(e.pointer, fmt.Errorf("an entry of a source is for that source; remove its %q", "sources"))
		}
		b.add(ring, e.entry, name)
	}
	// [] written out means nobody, and global keys are somebody.
	nobody := s.VerifyKeys != nil && len(s.VerifyKeys) == 0
	for _, e := range global {
		if e.opens(name) && !nobody {
			b.add(ring, e.entry, name)
		}
	}
	return ring
}

func (b *builder) add(ring map[string]*entry, e *entry, name string) {
	if first, twice := ring[e.thumb]; twice {
		b.bad(e.pointer, fmt.Errorf("the key %s is listed twice for the source %q: at %s and at %s; keep one", shown(e), name, first.where, e.where))
		return
	}
	ring[e.thumb] = e
	b.known(e)
}

// known makes a key findable by its thumbprint, and refuses one that stands for
// two subjects.
func (b *builder) known(e *entry) {
	p := b.policy
	if _, ok := p.keys[e.thumb]; ok && p.subjects[e.thumb] != e.subject {
		b.bad(e.pointer, fmt.Errorf("the key %s stands for %s and for %s; a key belongs to one", shown(e), subjectText(p.subjects[e.thumb]), subjectText(e.subject)))
		return
	}
	p.keys[e.thumb], p.subjects[e.thumb] = e.key, e.subject
	if len(p.keys) == maxKeys+1 {
		b.bad(e.pointer, fmt.Errorf("more than %d keys are listed; use verifyCommands", maxKeys))
	}
}

func shown(e *entry) string {
	if e.label != "" {
		return fmt.Sprintf("%s (%q)", e.thumb, e.label)
	}
	return e.thumb
}

func subjectText(subject string) string {
	if subject == "" {
		return "no subject"
	}
	return strconv.Quote(subject)
}
