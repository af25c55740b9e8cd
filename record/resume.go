package record

import (
	"errors"
	"fmt"
	"os"
	"time"

	"shellagent/seal"
)

// State is an open recording whose lines are all in its file, as one image of the
// agent hands it to the next.
type State struct {
	Path string        `json:"path"`
	Size int64         `json:"size"`
	N    uint64        `json:"n"`
	Sum  []byte        `json:"sum"` // of the last link
	Last time.Duration `json:"last"`
	// The beginnings of characters whose end is still to come.
	Out   []byte `json:"out,omitempty"`
	Err   []byte `json:"err,omitempty"`
	Input []byte `json:"input,omitempty"`
}

// Check says what in a state contradicts itself.
func (s *State) Check() error {
	switch {
	case s.Path == "" || s.Size <= 0 || s.N == 0 || len(s.Sum) != seal.SumSize || s.Last < 0:
		return errors.New("state of a recording: it has no file or no chain")
	case max(len(s.Out), len(s.Err), len(s.Input)) > len(runes{}.held):
		return errors.New("state of a recording: a character has at most four bytes")
	}
	return nil
}

// State closes the open segment and says from where [Resume] goes on. The writer
// may go on as well, if that is not done.
func (w *Writer) State() (State, error) {
	if err := w.Flush(); err != nil {
		return State{}, err
	}
	return State{
		Path: w.file.Name(), Size: w.size, N: w.link.N, Sum: w.link.Sum[:], Last: w.last,
		Out: w.out.state(), Err: w.outErr.state(), Input: w.in.state(),
	}, nil
}

// Resume goes on with a recording. The error says also that the file is not as
// it was left.
func Resume(st State, s Sealer, o Options) (*Writer, error) {
	if err := st.Check(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(st.Path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != st.Size {
		err = fmt.Errorf("%s has %d bytes instead of %d", st.Path, info.Size(), st.Size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("recording: %w", err), f.Close())
	}
	w := &Writer{file: f, sealer: s, recipients: o.Recipients, wrote: o.Wrote, size: st.Size, last: st.Last}
	w.link.N = st.N
	copy(w.link.Sum[:], st.Sum)
	for held, b := range map[*runes][]byte{&w.out: st.Out, &w.outErr: st.Err, &w.in: st.Input} {
		held.n = copy(held.held[:], b)
	}
	return w, nil
}

func (r *runes) state() []byte { return append([]byte(nil), r.held[:r.n]...) }
