package record

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Keeping says how long, and how much of it, what a source recorded is kept.
type Keeping struct {
	// Dir is the folder that has a folder for each day, Source the recordings
	// there that are meant.
	Dir, Source string
	// Age is how long ago a recording may have been written to last, Bytes how much
	// all may have together; 0 is no limit.
	Age   time.Duration
	Bytes int64
}

// Stored is a recording's file.
type Stored struct {
	Path, Session string
	Bytes         int64
	Written       time.Time // last
}

// Why a recording is not kept any longer.
const (
	TooOld  = "age"
	TooMuch = "size"
)

const (
	// mostRemoved bounds one sweep: what is removed is told, and a trail takes only
	// so much at once.
	mostRemoved = 1000
	// beginning is how long a file is nobody's to remove: its session may be about
	// to be told of.
	beginning = time.Minute
)

// Sweep removes what is too old, and then, beginning with the oldest, what is too
// much. What live says of a session's recording is left alone. removed is told of
// each. With more, another sweep has something to do; the error is what could not
// be read or removed.
func (k Keeping) Sweep(ctx context.Context, now time.Time, live func(session string) bool, removed func(f Stored, why string)) (more bool, err error) {
	var total int64
	if k.Bytes > 0 {
		err := k.each(ctx, func(f Stored) error { total += f.Bytes; return nil })
		if err != nil {
			return false, err
		}
	}
	left := mostRemoved
	err = k.each(ctx, func(f Stored) error {
		why := ""
		switch {
		case now.Sub(f.Written) < beginning || live(f.Session):
			return nil
		case k.Age > 0 && now.Sub(f.Written) > k.Age:
			why = TooOld
		case k.Bytes > 0 && total > k.Bytes:
			why = TooMuch
		default:
			return nil
		}
		if left--; left < 0 {
			return errMore
		}
		if err := os.Remove(f.Path); err != nil {
			return err
		}
		total -= f.Bytes
		removed(f, why)
		return nil
	})
	if errors.Is(err, errMore) {
		return true, nil
	}
	if err == nil {
		k.removeEmpty(now)
	}
	return false, err
}

var errMore = errors.New("that is enough for once")

// each calls do for the source's recordings, oldest first: by day, and within a
// day by the time of the last write.
func (k Keeping) each(ctx context.Context, do func(Stored) error) error {
	days, err := k.days()
	if err != nil {
		return err
	}
	for _, day := range days {
		entries, err := os.ReadDir(day)
		if err != nil {
			return fmt.Errorf("recordings: %w", err)
		}
		files := make([]Stored, 0, len(entries))
		for _, e := range entries {
			if f, ok := stored(day, e); ok {
				files = append(files, f)
			}
		}
		slices.SortFunc(files, func(a, b Stored) int { return cmp.Or(a.Written.Compare(b.Written), cmp.Compare(a.Path, b.Path)) })
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			if h, err := headerOf(f.Path); err != nil || h.Source != k.Source || h.Session != f.Session {
				continue // somebody else's, or gone
			}
			if err := do(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// days are the folders of days, oldest first; none when there is no folder yet.
func (k Keeping) days() ([]string, error) {
	if _, err := os.Stat(k.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	const digits = "[0-9][0-9]"
	// Sorted by name. A pattern's only error is its own.
	days, err := filepath.Glob(filepath.Join(quoteGlob(k.Dir), digits+digits, digits, digits))
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	return days, nil
}

// quoteGlob is a path as a pattern that matches nothing else.
func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// stored is a folder's entry as a recording, if it has the name and kind of one.
func stored(dir string, e fs.DirEntry) (f Stored, ok bool) {
	session, ok := strings.CutSuffix(e.Name(), ".cast.zst")
	if !ok {
		session, ok = strings.CutSuffix(e.Name(), ".cast.age")
	}
	if !ok || !e.Type().IsRegular() {
		return f, false
	}
	session, _, _ = strings.Cut(session, ".") // a key's second session has its time behind
	info, err := e.Info()
	if err != nil {
		return f, false
	}
	return Stored{filepath.Join(dir, e.Name()), session, info.Size(), info.ModTime()}, true
}

func headerOf(path string) (*Header, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := readSkippable(bufio.NewReaderSize(file, 4<<10), magicHeader, maxHeader)
	if err != nil {
		return nil, err
	}
	return parseHeader(raw)
}

// removeEmpty removes folders that are empty, but not of days on which a
// recording may just begin.
func (k Keeping) removeEmpty(now time.Time) {
	days, err := k.days()
	if err != nil {
		return
	}
	young := now.UTC().AddDate(0, 0, -2).Format("2006/01/02")
	for _, day := range days {
		relative, err := filepath.Rel(k.Dir, day)
		if err != nil || relative >= young {
			continue
		}
		month := filepath.Dir(day)
		_ = os.Remove(day) // which fails unless it is empty
		if filepath.Dir(relative) < young[:len("2006/01")] {
			_ = os.Remove(month)
		}
		if year := filepath.Dir(month); filepath.Base(year) < young[:len("2006")] {
			_ = os.Remove(year)
		}
	}
}
