package copying

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// maxJobs bounds the files that wait to be written.
	maxJobs = 64
)

// destination is where things are copied to.
type destination struct {
	dir *directory
	as  string // what the one thing is called, "" where it keeps its name
	// isDir says that the name is a directory's.
	isDir bool
	// asked, unless nil, is what was asked for.
	asked asked
}

// openDestination is as cp has it. It finds out whether a path is to be a directory to copy into, or a
// name.
func openDestination(place Place, to string, o Options) (destination, error) {
	if to == "" {
		to = "."
	}
	info, err := place.Stat(to)
	if err == nil && info.IsDir() {
		d, err := openDirectory(place, to)
		return destination{dir: d}, err
	}
	at, name := splitSource(to)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return destination{}, fmt.Errorf("%s: %s", to, reason(err))
	case err == nil && !info.Mode().IsRegular():
		return destination{}, fmt.Errorf("%s: %w", to, errOddInWay)
	case o.Into || name == "":
		return destination{}, fmt.Errorf("%s: it is not a directory, which there has to be to copy into", to)
	}
	d, err := openDirectory(place, at)
	if err != nil {
		return destination{}, fmt.Errorf("%s: the directory that it should be in: %w", to, errors.New(reason(err)))
	}
	d.path = strings.TrimSuffix(at, "/")
	if d.path == "" {
		d.path = "/"
	}
	if len(name) > maxName {
		d.release()
		return destination{}, fmt.Errorf("%s: the name is too long", to)
	}
	return destination{dir: d, as: name, isDir: strings.HasSuffix(to, "/")}, nil
}

// receiver is one copy, as the receiving side has it.
type receiver struct {
	ctx   context.Context
	o     Options
	in    *reader
	out   *writer
	watch Observer

	to      destination
	tops    int // things at the top
	stack   []*level
	jobs    chan job
	working sync.WaitGroup // jobs, and files that are finished in the background
	open    atomic.Int32   // offers without an answer
	patient atomic.Bool

	mu     sync.Mutex
	held   map[uint64]*incoming // files that the sender was asked for
	active map[*incoming]bool   // files that it is sending, or has sent

	current *incoming // the one that it is sending, for run alone
}

// job is a file that a worker deals with.
type job struct {
	level *level
	rec   record
	block *block // of a small one
}

// receive takes what is sent on in into a destination. What cannot be written is
// told to watch and to the sender, and the rest goes on. An error says why not
// even that; what was begun is left for another attempt. When the context ends the
// caller has to end the streams.
func receive(ctx context.Context, to destination, o Options, in *reader, out *writer, watch Observer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &receiver{ctx: ctx, o: o, in: in, out: out, watch: watch, to: to, jobs: make(chan job, maxJobs), held: make(map[uint64]*incoming), active: make(map[*incoming]bool)}
	r.patient.Store(true)
	r.stack = []*level{r.newLevel(to.dir.retain(), record{}, true)}
	var helping sync.WaitGroup
	for range min(8, runtime.GOMAXPROCS(0)+2) {
		helping.Go(r.work)
	}
	helping.Go(r.tend)
	err := r.run()
	if err != nil {
		cancel()
		if r.current != nil {
			r.current.stop()
		}
	}
	close(r.jobs)
	r.working.Wait()
	cancel()
	helping.Wait()
	r.letGo()
	return err
}

// run takes what is sent until nothing follows.
func (r *receiver) run() error {
	for {
		rec, b, err := r.in.next()
		if err != nil {
			return err
		}
		switch rec.kind {
		case kindData, kindHole, kindWhole, kindAbort, kindBegin:
			err = r.content(rec, b)
		case kindProblem:
			r.watch.Problem(Sending, rec.name, rec.text, rec.flags != 0)
		case kindTotal:
			r.watch.Expected(int64(rec.count), rec.size)
		case kindFinish:
			return r.finish()
		default:
			err = r.entry(rec, b)
		}
		if err != nil {
			return err
		}
	}
}

// finish answers when everything is in its place.
func (r *receiver) finish() error {
	if r.current != nil || len(r.stack) != 1 || r.open.Load() > 0 {
		return malformed("it has finished in the middle")
	}
	r.working.Wait()
	r.stack[0].release()
	r.stack = nil
	if err := r.out.put(&record{kind: kindFinished}); err != nil {
		return err
	}
	return r.out.flush()
}

// entry takes the description of something.
func (r *receiver) entry(rec record, b *block) error {
	if r.current != nil {
		return malformed("record %d comes in the middle of a file", rec.kind)
	}
	in := r.stack[len(r.stack)-1]
	if rec.kind != kindLeave {
		if err := r.name(&rec); err != nil {
			if b != nil {
				b.release()
			}
			return r.reject(in, rec, err)
		}
	}
	switch rec.kind {
	case kindDir:
		r.enter(in, rec)
		if len(r.stack) > maxDepth+2 {
			return malformed("the tree is deeper than %d directories", maxDepth)
		}
	case kindLeave:
		if len(r.stack) == 1 {
			return malformed("it leaves what it did not enter")
		}
		r.stack = r.stack[:len(r.stack)-1]
		in.release()
	case kindSymlink:
		if in.dir == nil {
			break
		}
		if err := r.link(in.dir, rec); err != nil {
			r.fail(0, join(in.dir.path, rec.name), err)
			break
		}
		r.watch.Did(CopiedLink)
	case kindFile, kindOffer:
		if rec.kind == kindOffer && r.open.Add(1) > maxOffers {
			return malformed("more than %d files are offered", maxOffers)
		}
		r.working.Add(1)
		r.jobs <- job{in.retain(), rec, b}
	default:
		return malformed("record %d is none of a sender", rec.kind)
	}
	return nil
}

var (
	errSeveral = errors.New("it is no directory, and several things are to be copied to it")
	errNoDir   = errors.New("there is no such directory")
)

// name checks what the other side calls something, and gives the one thing at the
// top the name that it is to have. A directory without one is the destination.
func (r *receiver) name(rec *record) error {
	if len(r.stack) > 1 {
		return checkName(rec.name)
	}
	if r.to.asked != nil && !r.to.asked.holds(rec.kind, rec.name) {
		return errNotAsked
	}
	if r.to.as == "" {
		if rec.kind == kindDir && rec.name == "" {
			return nil
		}
		return checkName(rec.name)
	}
	rec.name = r.to.as
	switch {
	case r.tops > 0:
		return errSeveral
	case r.to.isDir && rec.kind != kindDir:
		return errNoDir
	}
	r.tops++
	return nil
}

// reject refuses one thing, and all that is in it.
func (r *receiver) reject(in *level, rec record, err error) error {
	path := ""
	if in.dir != nil {
		path = join(in.dir.path, rec.name)
	}
	switch rec.kind {
	case kindDir:
		r.stack = append(r.stack, r.newLevel(nil, rec, true))
		r.fail(0, path, err)
	case kindFile, kindSymlink:
		r.fail(rec.id, path, err)
	case kindOffer:
		r.fail(rec.id, path, err)
	default:
		return malformed("record %d is none of a sender", rec.kind)
	}
	return nil
}

// enter opens a level for a directory.
func (r *receiver) enter(in *level, rec record) {
	switch {
	case in.dir == nil:
		r.stack = append(r.stack, r.newLevel(nil, rec, true))
		return
	case rec.name == "":
		r.stack = append(r.stack, r.newLevel(in.dir.retain(), rec, true))
		return
	}
	d, err := in.dir.enter(rec.name)
	if err != nil {
		r.fail(0, join(in.dir.path, rec.name), err)
	}
	r.stack = append(r.stack, r.newLevel(d, rec, false))
}

// link makes a symbolic link, in place of a file or another link.
func (r *receiver) link(in *directory, rec record) error {
	err := in.symlink(rec.text, rec.name)
	if errors.Is(err, fs.ErrExist) {
		if err := in.vacant(rec.name); err != nil {
			return err
		}
		part := partName(rec.name)
		if err := in.symlink(rec.text, part); errors.Is(err, fs.ErrExist) {
			// What an earlier attempt has left is of no more use.
			if err := in.remove(part); err != nil {
				return err
			}
			err = in.symlink(rec.text, part)
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		if err := in.rename(part, rec.name); err != nil {
			_ = in.remove(part)
			return err
		}
	} else if err != nil {
		return err
	}
	return in.setTimes(rec.name, rec.sec, rec.nsec)
}
