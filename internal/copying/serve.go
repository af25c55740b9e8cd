package copying

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// Served is what a server may touch, and how its paths are meant.
type Served struct {
	Place Place
	// ReadOnly receives nothing.
	ReadOnly bool
	// Start is the absolute directory that relative paths begin in, and Home what ~
	// stands for.
	Start, Home string
}

// Serve does what the other side asks for, once: it sends, or it receives. What it
// has to refuse it says there. An error says that a stream ended or that the other
// side does not keep to the protocol.
func Serve(ctx context.Context, in io.Reader, out io.Writer, s Served) error {
	r, w := newReader(in), newWriter(out)
	if err := r.greet(); err != nil {
		return err
	}
	ask, _, err := r.next()
	switch {
	case err != nil:
		return err
	case ask.kind != kindRequest || len(ask.paths) == 0 || ask.flags&^allFlags != 0:
		return malformed("it asks for nothing that is known here")
	}
	if err := w.raw([]byte(greeting)); err != nil {
		return err
	}
	o := optionsOf(ask.flags)
	if ask.flags&flagReceive != 0 {
		return s.receive(ctx, ask.paths, o, r, w)
	}
	return s.send(ctx, ask.paths, o, ask.count, r, w)
}

func (s Served) receive(ctx context.Context, paths []string, o Options, r *reader, w *writer) error {
	if s.ReadOnly {
		return refuse(w, fmt.Errorf("%s: the source serves files to read and not to write", paths[0]))
	}
	if len(paths) > 1 {
		return malformed("there is one destination")
	}
	d, err := openDestination(s.Place, s.path(paths[0]), o)
	if err != nil {
		return refuse(w, err)
	}
	defer d.dir.release()
	if err := ready(w, offersFor(openFiles())); err != nil {
		return err
	}
	return receive(ctx, d, o, r, w, unobserved{})
}

func (s Served) send(ctx context.Context, paths []string, o Options, takes uint64, r *reader, w *writer) error {
	var sources []string
	for _, p := range paths {
		some, err := expand(ctx, s.Place, s.path(p))
		if err != nil {
			return refuse(w, err)
		}
		if sources = append(sources, some...); len(sources) > maxPaths {
			return refuse(w, fmt.Errorf("there are more than %d sources", maxPaths))
		}
	}
	if err := ready(w, len(sources)); err != nil {
		return err
	}
	return send(ctx, s.Place, sources, o, takes, r, w, unobserved{})
}

// path is an absolute one. A trailing slash stays, which has a meaning.
func (s Served) path(p string) string {
	switch {
	case strings.HasPrefix(p, "/"):
		return p
	case s.Home != "" && (p == "~" || p == "~/"):
		return s.Home + "/."
	case s.Home != "" && strings.HasPrefix(p, "~/"):
		return s.Home + p[1:]
	case p == "" || p == ".":
		return strings.TrimSuffix(s.Start, "/") + "/."
	}
	return strings.TrimSuffix(s.Start, "/") + "/" + p
}

func ready(w *writer, n int) error {
	if err := w.put(&record{kind: kindReady, count: uint64(n)}); err != nil {
		return err
	}
	return w.flush()
}

func refuse(w *writer, err error) error {
	text := err.Error()
	if path, ok := pathOf(err); ok {
		text = path + ": " + reason(err)
	}
	if err := w.put(&record{kind: kindRefused, text: cut(text)}); err != nil {
		return err
	}
	return w.flush()
}

func pathOf(err error) (string, bool) {
	of, ok := err.(*os.PathError)
	if !ok {
		return "", false
	}
	return of.Path, true
}
