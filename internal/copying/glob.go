package copying

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxMatches bounds what one pattern may stand for, and maxLooked how many names
// are looked at for it.
const (
	maxMatches = maxPaths
	maxLooked  = 1 << 20
)

// expand returns what a path stands for: itself when there is such a thing, else
// what matches its * ? [ ] as a shell has it, each within one name, and none of a
// name's first dot.
func expand(ctx context.Context, place Place, pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, "*?[") {
		return []string{pattern}, nil
	}
	if _, err := place.Lstat(pattern); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return []string{pattern}, nil
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	g := globber{ctx: ctx, place: place}
	begin := ""
	if strings.HasPrefix(pattern, "/") {
		begin = "/"
	}
	parts := strings.Split(strings.TrimLeft(pattern, "/"), "/")
	last := len(parts) - 1
	parts = append(slices.DeleteFunc(parts[:last:last], func(part string) bool { return part == "" }), parts[last])
	if err := g.match(begin, parts); err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	if len(g.found) == 0 {
		return nil, fmt.Errorf("%s: nothing matches", pattern)
	}
	return g.found, nil
}

type globber struct {
	ctx    context.Context
	place  Place
	found  []string
	looked int
}

// match finds what matches the parts below a directory.
func (g *globber) match(dir string, parts []string) error {
	part, rest := parts[0], parts[1:]
	if !strings.ContainsAny(part, "*?[") {
		return g.step(join(dir, part), rest)
	}
	at := dir
	if at == "" {
		at = "."
	}
	d, err := openDirectory(g.place, at)
	if err != nil {
		return nil // as to a shell: what cannot be read has no names
	}
	names, err := g.names(d, part)
	d.release()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := g.step(join(dir, name), rest); err != nil {
			return err
		}
	}
	return nil
}

func (g *globber) step(name string, rest []string) error {
	if len(rest) > 0 && rest[0] != "" {
		return g.match(name, rest)
	}
	look := g.place.Lstat
	if len(rest) > 0 { // a slash at the end asks for a directory
		look = g.place.Stat
	}
	info, err := look(name)
	if err != nil || len(rest) > 0 && !info.IsDir() {
		return nil
	}
	if g.found = append(g.found, name); len(g.found) > maxMatches {
		return fmt.Errorf("it matches more than %d names", maxMatches)
	}
	return nil
}

// names returns those of a directory that match, in order.
func (g *globber) names(d *directory, part string) ([]string, error) {
	list, err := d.list()
	if err != nil {
		return nil, nil
	}
	defer list.Close()
	var names []string
	for {
		some, err := list.Readdirnames(readNames)
		for _, name := range some {
			if matches(part, name) {
				names = append(names, name)
			}
		}
		if g.looked += len(some); g.looked > maxLooked {
			return nil, fmt.Errorf("there are more than %d names to look at", maxLooked)
		}
		if err != nil || g.ctx.Err() != nil {
			break
		}
	}
	slices.Sort(names)
	return names, g.ctx.Err()
}

// matches is a shell's: a first dot is matched by nothing but a dot.
func matches(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
