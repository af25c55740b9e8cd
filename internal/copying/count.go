package copying

import "strings"

// total is how much there is to send.
type total struct{ files, bytes int64 }

// count finds out how much it will be, and tells both sides. What it cannot look
// at is told by who sends.
func (s *sender) count(sources []string, o Options) {
	var t total
	for _, path := range sources {
		t.source(s, path, o)
	}
	if s.ctx.Err() != nil {
		return
	}
	s.watch.Expected(t.files, t.bytes)
	_ = s.out.put(&record{kind: kindTotal, count: uint64(t.files), size: t.bytes})
}

func (t *total) source(s *sender, path string, o Options) {
	look := s.place.Lstat
	if _, name := splitSource(path); o.Follow || name == "" || strings.HasSuffix(path, "/") {
		look = s.place.Stat
	}
	info, err := look(path)
	switch {
	case err != nil:
	case info.IsDir():
		if d, err := openDirectory(s.place, path); err == nil {
			t.dir(s, d, o, 0)
		}
	case info.Mode().IsRegular():
		t.add(info.Size())
	}
}

func (t *total) add(size int64) { t.files, t.bytes = t.files+1, t.bytes+size }

// dir counts what is in a directory, and releases it.
func (t *total) dir(s *sender, d *directory, o Options, depth int) {
	defer d.release()
	list, err := d.list()
	if err != nil || depth > maxDepth {
		return
	}
	defer list.Close()
	for s.ctx.Err() == nil {
		entries, err := list.ReadDir(readNames)
		for _, e := range entries {
			t.entry(s, d, e.Name(), formOf(e.Type()), o, depth)
		}
		if err != nil {
			return
		}
	}
}

func (t *total) entry(s *sender, d *directory, name string, what form, o Options, depth int) {
	if isPart(name) {
		return
	}
	switch what {
	case formFile:
		if m, err := d.lstat(name); err == nil {
			t.add(m.size)
		}
	case formDir:
		if child, err := d.openDir(name); err == nil {
			t.dir(s, child, o, depth+1)
		}
	case formLink:
		// What links lead to may be counted twice, or for ever: the walk knows, and
		// this is for a progress bar.
		if info, err := s.place.Stat(join(d.path, name)); o.Follow && err == nil && info.Mode().IsRegular() {
			t.add(info.Size())
		}
	}
}
