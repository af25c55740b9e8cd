package record_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shellagent/record"
)

// kept makes recordings of a source, written to last at the given times, and
// returns what is left of them after a sweep.
func kept(t *testing.T, f fixture, k record.Keeping, now time.Time, ages map[string]time.Duration) (left, told []string) {
	t.Helper()
	paths := make(map[string]string)
	for name, age := range ages {
		h := header()
		source, session, _ := strings.Cut(name, "/")
		h.Source, h.Session = source, session
		written := now.Add(-age)
		path := filepath.Join(k.Dir, written.UTC().Format("2006/01/02"), session+".cast.zst")
		w, err := record.Create(path, h, f.key, record.Options{})
		if err != nil {
			t.Fatal(err)
		}
		w.Abandon()
		if err := errors.Join(os.Truncate(path, 4000), os.Chtimes(path, written, written)); err != nil {
			t.Fatal(err)
		}
		paths[name] = path
	}
	more, err := k.Sweep(t.Context(), now, func(id string) bool { return id == "live" }, func(f record.Stored, why string) {
		told = append(told, f.Session+" "+why)
	})
	if err != nil || more {
		t.Fatal(err, more)
	}
	for name, path := range paths {
		if _, err := os.Stat(path); err == nil {
			left = append(left, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	slices.Sort(left)
	return left, told
}

func TestSweep(t *testing.T) {
	f, now := newFixture(t), time.Date(2030, 3, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	ages := map[string]time.Duration{
		"s/a": 40 * day, "s/b": 20 * day, "s/c": 20*day - time.Hour, "s/d": day, "s/e": time.Second, "s/live": 50 * day,
		"other/f": 60 * day,
	}
	for what, want := range map[string]struct {
		keep       record.Keeping
		left, told string
	}{
		"nothing":   {record.Keeping{}, "other/f s/a s/b s/c s/d s/e s/live", ""},
		"age":       {record.Keeping{Age: 20 * day}, "other/f s/b s/c s/d s/e s/live", "a age"},
		"all":       {record.Keeping{Age: time.Minute}, "other/f s/e s/live", "a age,b age,c age,d age"},
		"size":      {record.Keeping{Bytes: 4 * 4000}, "other/f s/c s/d s/e s/live", "a size,b size"},
		"too small": {record.Keeping{Bytes: 1}, "other/f s/e s/live", "a size,b size,c size,d size"},
		"both":      {record.Keeping{Age: 30 * day, Bytes: 4 * 4000}, "other/f s/c s/d s/e s/live", "a age,b size"},
	} {
		k := want.keep
		k.Dir, k.Source = filepath.Join(t.TempDir(), "with [odd] *name?"), "s"
		left, told := kept(t, f, k, now, ages)
		if got := strings.Join(left, " "); got != want.left {
			t.Errorf("%s: left is %s, want %s", what, got, want.left)
		}
		if got := strings.Join(told, ","); got != want.told {
			t.Errorf("%s: told %s, want %s", what, got, want.told)
		}
		// What was emptied goes, and what may be used again stays.
		_, err := os.Stat(filepath.Join(k.Dir, "2030/01"))
		if gone := errors.Is(err, fs.ErrNotExist); gone {
			t.Errorf("%s: the month of what is left is gone", what)
		}
		if _, err := os.Stat(filepath.Join(k.Dir, "2030/02/28")); err != nil {
			t.Errorf("%s: yesterday's folder: %v", what, err)
		}
	}
}

// What has the place and the name of a recording, and is none of the source's, is
// nobody's to remove.
func TestSweepLeavesOthersAlone(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	day := filepath.Join(dir, "2001/02/03")
	target := filepath.Join(dir, "target")
	if err := errors.Join(os.MkdirAll(day, 0o700), os.WriteFile(target, nil, 0o600), os.Symlink(target, filepath.Join(day, "x.cast.zst")),
		os.WriteFile(filepath.Join(day, "y.cast.zst"), []byte("no recording"), 0o600), os.WriteFile(filepath.Join(day, "z.txt"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"y.cast.zst", "z.txt"} {
		if err := os.Chtimes(filepath.Join(day, name), time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	more, err := record.Keeping{Dir: dir, Source: "s", Age: time.Second, Bytes: 1}.Sweep(t.Context(), now,
		func(string) bool { return false }, func(f record.Stored, _ string) { t.Errorf("%s was removed", f.Path) })
	if err != nil || more {
		t.Error(err, more)
	}
	if left, err := os.ReadDir(day); err != nil || len(left) != 3 {
		t.Errorf("%v, %v", left, err)
	}
	// No folder is no mistake.
	if _, err := (record.Keeping{Dir: filepath.Join(dir, "none"), Age: 1}).Sweep(t.Context(), now, nil, nil); err != nil {
		t.Error(err)
	}
}
