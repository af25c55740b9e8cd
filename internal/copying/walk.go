package copying

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
)

const (
	// maxDepth bounds how deep a tree is walked: each level is a directory that is
	// held open.
	maxDepth = 512
	// readNames is how many names of a directory are read at once: it may have any
	// number.
	readNames = 1024
	// batchSize is how many bytes of records go to the connection at once.
	batchSize = 64 << 10
)

var (
	errShrank  = errors.New("it shrank while it was read; copy it again")
	errChanged = errors.New("it changed while it was read; copy it again")
	errDeep    = errors.New("the tree is deeper than 512 directories here")
	errLoop    = errors.New("the link leads back to a directory that it is in")
	errSpecial = errors.New("it is neither a file nor a directory nor a link, and is left out")
	errPart    = errors.New("it is the beginning of another copy, and is left out")
)

// walker describes what is to be sent, in batches of records.
type walker struct {
	ctx    context.Context
	place  Place
	o      Options
	offers *offers
	out    chan<- []byte
	free   <-chan []byte
	watch  Observer

	batch  []byte
	buf    []byte
	nextID uint64
	above  []any // the directories that are being walked, when links are followed
	depth  int
}

// walk describes the sources. It fails only when nobody wants to know more.
func (w *walker) walk(sources []string) error {
	for _, path := range sources {
		if err := w.source(path); err != nil {
			return err
		}
	}
	return w.send()
}

// source is one that a person named. What ends in a slash is what a link leads to;
// what has no name of its own, as "." has none, is sent as its content.
func (w *walker) source(path string) error {
	dir, name := splitSource(path)
	if name == "" {
		return w.tree(path, "")
	}
	if strings.HasSuffix(path, "/") || w.o.Follow {
		info, err := w.place.Stat(path)
		switch {
		case err != nil:
			return w.problem(path, err)
		case info.IsDir():
			return w.tree(path, name)
		case strings.HasSuffix(path, "/"):
			return w.problem(path, errors.New("it is not a directory"))
		}
	}
	in, err := openDirectory(w.place, dir)
	if err != nil {
		return w.problem(path, err)
	}
	defer in.release()
	in.path = strings.TrimSuffix(path, name)
	if in.path == "" {
		in.path = "."
	}
	m, err := in.lstat(name)
	switch {
	case err != nil:
		return w.problem(path, err)
	case m.form == formOther:
		return w.problem(path, errors.New("it is neither a file nor a directory nor a link"))
	}
	return w.entry(in, name, m.form)
}

// splitSource finds the name under which a source is sent, "" for none, and the
// directory that it is in.
func splitSource(path string) (dir, name string) {
	path = strings.TrimRight(filepath.ToSlash(path), "/")
	i := strings.LastIndexByte(path, '/')
	dir, name = path[:i+1], path[i+1:]
	if name == "." || name == ".." || filepath.VolumeName(name) == name {
		name = ""
	}
	if dir == "" {
		dir = "."
	}
	return dir, name
}

// tree sends a directory by its path, as name.
func (w *walker) tree(path, name string) error {
	d, err := openDirectory(w.place, path)
	if err != nil {
		return w.problem(path, err)
	}
	if plain := strings.TrimRight(strings.TrimSuffix(path, "/."), "/"); plain != "" {
		d.path = plain
	}
	return w.dir(d, name)
}

// entry sends something of a directory.
func (w *walker) entry(in *directory, name string, what form) error {
	if isPart(name) {
		return w.warn(join(in.path, name), errPart)
	}
	switch what {
	case formFile:
		return w.file(in, name)
	case formDir:
		d, err := in.openDir(name)
		if err != nil {
			return w.problem(join(in.path, name), err)
		}
		return w.dir(d, name)
	case formLink:
		if w.o.Follow {
			return w.followed(in, name)
		}
		return w.link(in, name)
	}
	return w.warn(join(in.path, name), errSpecial)
}

// dir sends a directory and what is in it, and releases it.
func (w *walker) dir(d *directory, name string) error {
	defer d.release()
	m, err := d.stat()
	if err != nil {
		return w.problem(d.path, err)
	}
	if w.depth == maxDepth {
		return w.problem(d.path, errDeep)
	}
	if w.o.Follow && m.id != nil {
		for _, id := range w.above {
			if id == m.id {
				return w.problem(d.path, errLoop)
			}
		}
		w.above = append(w.above, m.id)
		defer func() { w.above = w.above[:len(w.above)-1] }()
	}
	list, err := d.list()
	if err != nil {
		return w.problem(d.path, err)
	}
	defer list.Close()
	w.depth++
	defer func() { w.depth-- }()
	if err := w.put(&record{kind: kindDir, name: name, mode: m.carried(), sec: m.sec, nsec: m.nsec}); err != nil {
		return err
	}
	for {
		entries, err := list.ReadDir(readNames)
		for _, e := range entries {
			if err := w.entry(d, e.Name(), formOf(e.Type())); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if err := w.problem(d.path, err); err != nil {
				return err
			}
			break
		}
	}
	w.watch.Did(CopiedDir)
	return w.put(&record{kind: kindLeave})
}

func formOf(t fs.FileMode) form {
	switch {
	case t.IsRegular():
		return formFile
	case t.IsDir():
		return formDir
	case t&fs.ModeSymlink != 0:
		return formLink
	}
	return formOther
}

// link sends a symbolic link as it is.
func (w *walker) link(in *directory, name string) error {
	m, err := in.lstat(name)
	if err != nil {
		return w.problem(join(in.path, name), err)
	}
	target, err := in.readlink(name)
	if err != nil {
		return w.problem(join(in.path, name), err)
	}
	w.watch.Did(CopiedLink)
	return w.put(&record{kind: kindSymlink, name: name, text: target, sec: m.sec, nsec: m.nsec})
}

// followed sends what a link leads to.
func (w *walker) followed(in *directory, name string) error {
	path := join(in.path, name)
	info, err := w.place.Stat(path)
	if err != nil {
		return w.problem(path, err)
	}
	switch formOf(info.Mode()) {
	case formDir:
		return w.tree(path, name)
	case formFile:
		return w.offer(&offered{dir: in, name: name, path: path, m: metaOf(info)})
	}
	return w.warn(path, errSpecial)
}

// file sends a small file whole, and offers others.
func (w *walker) file(in *directory, name string) error {
	var m meta
	var n int
	var err error
	if w.o.Update {
		m, err = in.lstat(name)
	} else {
		m, n, err = in.read(name, w.buf)
	}
	switch {
	case err != nil:
		return w.problem(join(in.path, name), err)
	case m.form != formFile:
		return w.problem(join(in.path, name), errChanged)
	case w.o.Update || m.size > int64(len(w.buf)):
		return w.offer(&offered{dir: in, name: name, m: m})
	}
	w.nextID++
	r := record{kind: kindFile, id: w.nextID, name: name, mode: m.carried(), sec: m.sec, nsec: m.nsec, sum: sha256.Sum256(w.buf[:n]), data: w.buf[:n]}
	w.watch.Moved(int64(n))
	return w.put(&r)
}

// offer waits until few enough are open.
func (w *walker) offer(f *offered) error {
	w.nextID++
	if !w.offers.tryAdd(w.nextID, f) {
		// The answers that make room are to what is in the batch.
		if err := w.send(); err != nil {
			return err
		}
		if err := w.offers.add(w.ctx, w.nextID, f); err != nil {
			return err
		}
	}
	return w.put(&record{kind: kindOffer, id: w.nextID, name: f.name, mode: f.m.carried(), sec: f.m.sec, nsec: f.m.nsec, size: f.m.size})
}
