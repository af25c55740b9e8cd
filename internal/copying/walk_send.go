package copying

import (
	"errors"
	"io/fs"
)

func (w *walker) problem(path string, err error) error { return w.tell(path, err, false) }
func (w *walker) warn(path string, err error) error    { return w.tell(path, err, true) }

func (w *walker) tell(path string, err error, warning bool) error {
	r := problemRecord(path, err, warning)
	w.watch.Problem(Sending, path, r.text, warning)
	return w.put(r)
}

// problemRecord says what went wrong with a path, without saying it twice.
func problemRecord(path string, err error, warning bool) *record {
	r := &record{kind: kindProblem, name: cut(path), text: cut(reason(err))}
	if warning {
		r.flags = 1
	}
	return r
}

// reason is an error without the path, which stands beside it.
func reason(err error) string {
	var of *fs.PathError
	if !errors.As(err, &of) {
		return err.Error()
	}
	switch of.Op {
	case "lstat", "stat", "open", "create":
		return of.Err.Error()
	}
	return of.Op + ": " + of.Err.Error()
}

// cut keeps a text within the bounds of a record.
func cut(s string) string { return s[:min(len(s), maxText)] }

// put adds a record to the batch.
func (w *walker) put(r *record) error {
	w.batch = r.append(w.batch)
	if len(w.batch) < batchSize {
		return nil
	}
	return w.send()
}

// send passes the batch on.
func (w *walker) send() error {
	if len(w.batch) == 0 {
		return nil
	}
	select {
	case w.out <- w.batch:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	select {
	case w.batch = <-w.free:
		w.batch = w.batch[:0]
	default:
		w.batch = nil
	}
	return nil
}
