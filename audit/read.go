package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"shellagent/jwtauth"
	"shellagent/seal"
)

// Damage is where a trail stops being what was written.
type Damage struct {
	File string
	// Line is in the file, from 1; Offset its beginning in bytes.
	Line   int
	Offset int64
	// Number is the trail's last line that holds, Time when it was written.
	Number uint64
	Time   time.Time
	Err    error
}

func (d *Damage) Error() string {
	return fmt.Sprintf("%s:%d (byte %d): %v; what is before holds, up to line %d of %s",
		d.File, d.Line, d.Offset, d.Err, d.Number, d.Time.Format(time.RFC3339Nano))
}

// Unwrap returns Err.
func (d *Damage) Unwrap() error { return d.Err }

// Knower says whether the key that a trail names is its agent's.
type Knower func(hostKey jwtauth.PublicKey) error

// Verified is what a verification found to hold.
type Verified struct {
	Lines       uint64 // looked at
	First, Last seal.Link
	From, Until time.Time
	HostKey     jwtauth.PublicKey // of the last file
}

// Verify reads files of one trail in their order and returns the *[Damage] where
// they stop holding. What was cut off behind the last line cannot be seen in the
// files: compare Last with what the agent says ([Trail.Link]), or with what a sink
// has. Without its first files a trail is verified from where it begins.
func Verify(files []string, known Knower) (Verified, error) {
	v := verification{known: known}
	for i, path := range files {
		if err := v.file(path, i < len(files)-1); err != nil {
			return v.done, err
		}
	}
	return v.done, nil
}

type verification struct {
	known    Knower
	verifier *seal.Verifier
	link     seal.Link
	begun    bool
	ended    bool // by trail.continues
	done     Verified
}

func (v *verification) file(path string, more bool) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	defer f.Close()
	at := Damage{File: path}
	fail := func(err error) error {
		at.Number, at.Time, at.Err = v.link.N, v.done.Until, err
		at.Line++
		return &at
	}
	v.verifier, v.ended = nil, false
	r := bufio.NewReaderSize(f, maxEvent+4096)
	for {
		raw, err := r.ReadSlice('\n')
		switch {
		case err == io.EOF && len(raw) == 0:
			if at.Line == 0 {
				return fail(errors.New("the file is empty"))
			}
			if more && !v.ended {
				return fail(errors.New("the file ends before its last line"))
			}
			return nil
		case err == io.EOF:
			return fail(errors.New("the line is not whole"))
		case err != nil:
			return fail(err)
		}
		if err := v.line(filepath.Base(path), at.Line == 0, raw[:len(raw)-1]); err != nil {
			return fail(err)
		}
		at.Line++
		at.Offset += int64(len(raw))
	}
}

func (v *verification) line(file string, first bool, raw []byte) error {
	if v.ended {
		return errors.New("something follows the file's last line")
	}
	l, err := parseLine(raw)
	if err != nil {
		return err
	}
	var e Event
	if err := json.Unmarshal(l.object, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrLine, err)
	}
	if first {
		if err := v.start(file, l, e); err != nil {
			return err
		}
	} else if e.Kind == TrailBegins {
		return errors.New("a file begins within another")
	}
	next := v.link.Next(l.object)
	switch {
	case l.link.N != next.N:
		return fmt.Errorf("line %d of the trail is where line %d belongs", l.link.N, next.N)
	case l.link.Sum != next.Sum:
		return fmt.Errorf("%w: the line is not what was written there", seal.ErrSignature)
	}
	if err := v.verifier.Verify(seal.Trail, next, l.signature[:]); err != nil {
		return err
	}
	v.link, v.ended = next, e.Kind == TrailContinues
	if v.done.Lines == 0 {
		v.done.First, v.done.From = next, e.Time
	}
	v.done.Lines++
	v.done.Last, v.done.Until = next, e.Time
	return nil
}

// start takes a file's first line, which says who seals it and what is before.
func (v *verification) start(file string, l line, e Event) error {
	if e.Kind != TrailBegins {
		return errors.New("the file does not begin with trail.begins")
	}
	if n, ok := firstLine(file); ok && n != l.link.N {
		return fmt.Errorf("the file begins with line %d, its name says %d", l.link.N, n)
	}
	host, _, err := jwtauth.ParsePublicKey(e.HostKey)
	if err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	if err := v.known(host); err != nil {
		return err
	}
	if v.verifier, err = seal.NewVerifier(e.Certificate, host); err != nil {
		return err
	}
	var previous seal.Link
	b, err := b64.DecodeString(e.Previous)
	if err != nil || len(b) != seal.SumSize || l.link.N == 0 {
		return fmt.Errorf("%w: previous", ErrLine)
	}
	copy(previous.Sum[:], b)
	previous.N = l.link.N - 1
	switch {
	case v.begun && previous != v.link:
		return errors.New("the file does not go on where the one before ended: one is missing, or they are swapped")
	case !v.begun && previous.N == 0 && previous != seal.Start(seal.Trail, nil):
		return errors.New("the first file does not begin the chain")
	}
	v.link, v.begun, v.done.HostKey = previous, true, host
	return nil
}

// Entry is a line of a trail.
type Entry struct {
	Event
	Number uint64
	// Raw is the line without its newline; from [Scan] it is good until the next one.
	Raw []byte
	sum [seal.SumSize]byte
}

// Sum is the line's hash of the chain, in base64url: no other line has it.
func (e *Entry) Sum() string { return b64.EncodeToString(e.sum[:]) }

// Scan calls each for every whole line of a file from an offset on for which
// match, which is given the raw line, returns true; a nil match takes all. It
// returns the offset behind the last whole line, from which to go on later.
// What is not a line of a trail ends it with [ErrLine].
func Scan(path string, from int64, match func(raw []byte) bool, each func(Entry) error) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return from, err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return from, err
	}
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		raw, err := r.ReadSlice('\n')
		if err == io.EOF {
			return from, nil
		}
		if err != nil {
			return from, fmt.Errorf("%s at byte %d: %w", path, from, errors.Join(ErrLine, err))
		}
		body := bytes.TrimSuffix(raw, []byte("\n"))
		if match == nil || match(body) {
			e, err := parseEntry(body)
			if err != nil {
				return from, fmt.Errorf("%s at byte %d: %w", path, from, err)
			}
			if err := each(e); err != nil {
				return from, err
			}
		}
		from += int64(len(raw))
	}
}

func parseEntry(raw []byte) (Entry, error) {
	l, err := parseLine(raw)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Number: l.link.N, Raw: raw, sum: l.link.Sum}
	if err := json.Unmarshal(l.object, &e.Event); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrLine, err)
	}
	return e, nil
}
