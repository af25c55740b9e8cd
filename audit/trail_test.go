package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/audit"
	"shellagent/jwtauth"
	"shellagent/seal"
)

type fixture struct {
	host *jwtauth.PrivateKey
	key  *seal.Key
	dir  string
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.Load(t.TempDir(), host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return fixture{host, key, filepath.Join(t.TempDir(), "audit")}
}

func (f fixture) known(k jwtauth.PublicKey) error {
	if !k.Equal(f.host.PublicKey()) {
		return errors.New("unknown host key")
	}
	return nil
}

func (f fixture) open(t testing.TB, o audit.Options) *audit.Trail {
	t.Helper()
	o.Host = "web1"
	trail, err := audit.OpenTrail(f.dir, f.key, o)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

func (f fixture) files(t testing.TB) []string {
	t.Helper()
	files, err := audit.Files(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func add(t testing.TB, trail *audit.Trail, n int) {
	t.Helper()
	for i := range n {
		e := &audit.Event{Kind: audit.SessionOpened, Session: fmt.Sprint("S", i), Command: "echo \"<ü>\"\n", Labels: map[string]string{"a": "b"}}
		if err := trail.Append(e); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTrailHolds(t *testing.T) {
	f := newFixture(t)
	trail := f.open(t, audit.Options{})
	add(t, trail, 3)
	link := trail.Link()
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	trail = f.open(t, audit.Options{}) // a restart goes on
	if trail.Link() != link {
		t.Error("the chain does not go on")
	}
	add(t, trail, 2)
	got, err := audit.Verify(f.files(t), f.known)
	if err != nil || got.Lines != 6 || got.Last != trail.Link() || !got.HostKey.Equal(f.host.PublicKey()) {
		t.Errorf("%v: %+v", err, got)
	}
	if _, err := audit.Verify(f.files(t), newFixture(t).known); err == nil {
		t.Error("an unknown agent's trail is believed")
	}
	for path, want := range map[string]os.FileMode{f.files(t)[0]: 0o600, f.dir: os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
}

// No event makes a line that nobody could read again.
func TestLongEventsAreCut(t *testing.T) {
	f := newFixture(t)
	trail := f.open(t, audit.Options{})
	long := strings.Repeat("\u00fc", 128<<10)
	for _, e := range []*audit.Event{
		{Kind: audit.SessionOpened, Command: long, Labels: map[string]string{"a": long}},
		{Kind: audit.SessionOpened, Argv: []string{long}, Error: long},
		{Kind: audit.SessionOutput, Line: long},
	} {
		if err := trail.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := audit.Verify(f.files(t), f.known); err != nil {
		t.Error(err)
	}
	if lines, _, err := audit.NewTail(f.dir, 1).Read(10, 1<<20); err != nil || len(lines) != 4 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

// Whatever is done to a trail but for cutting whole lines off its end is found,
// and where.
func TestEveryByteAndLineOfATrail(t *testing.T) {
	f := newFixture(t)
	add(t, f.open(t, audit.Options{}), 3)
	path := f.files(t)[0]
	good := read(t, path)
	starts := lineStarts(good)
	check := func(what string, at int, changed []byte) {
		t.Helper()
		write(t, path, changed)
		_, err := audit.Verify([]string{path}, f.known)
		var d *audit.Damage
		if !errors.As(err, &d) {
			t.Fatalf("%s: %v", what, err)
		}
		if line := lineOf(starts, at); d.Line > line+1 || int(d.Offset) > at {
			t.Fatalf("%s in line %d: found was %v", what, line, d)
		}
	}
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1 << rand.IntN(8)
		check(fmt.Sprintf("byte %d changed", i), i, changed)
		check(fmt.Sprintf("byte %d removed", i), i, append(bytes.Clone(good[:i]), good[i+1:]...))
		if i != 0 && good[i-1] != '\n' {
			check(fmt.Sprintf("cut at byte %d", i), i, good[:i])
		}
	}
	for i := range starts[:len(starts)-1] {
		a, b := starts[i], starts[i+1]
		if b < len(good) {
			check(fmt.Sprintf("line %d removed", i+1), a, append(bytes.Clone(good[:a]), good[b:]...))
		}
		check(fmt.Sprintf("line %d doubled", i+1), b, append(bytes.Clone(good[:b]), good[a:]...))
		if i+2 < len(starts) {
			c := starts[i+2]
			check(fmt.Sprintf("lines %d and %d swapped", i+1, i+2), a,
				bytes.Join([][]byte{good[:a], good[b:c], good[a:b], good[c:]}, nil))
		}
	}
	// The end is for others to know.
	write(t, path, good[:starts[len(starts)-2]])
	got, err := audit.Verify([]string{path}, f.known)
	if err != nil || got.Last.N != 3 {
		t.Errorf("%v: %+v", err, got)
	}
}

func lineStarts(b []byte) []int {
	starts := []int{0}
	for i, c := range b {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func lineOf(starts []int, offset int) int {
	n := 0
	for n+1 < len(starts) && starts[n+1] <= offset {
		n++
	}
	return n + 1
}

func TestFilesOfATrail(t *testing.T) {
	f := newFixture(t)
	trail := f.open(t, audit.Options{MaxFile: 2000})
	add(t, trail, 12)
	files := f.files(t)
	if len(files) < 3 {
		t.Fatalf("%d files", len(files))
	}
	got, err := audit.Verify(files, f.known)
	if err != nil || got.Last != trail.Link() {
		t.Fatal(err)
	}
	if _, err := audit.Verify(files[1:], f.known); err != nil {
		t.Errorf("a trail whose oldest files were archived: %v", err)
	}
	for what, list := range map[string][]string{
		"missing": {files[0], files[2]},
		"swapped": {files[1], files[0]},
	} {
		if _, err := audit.Verify(list, f.known); err == nil {
			t.Errorf("a file %s is not seen", what)
		}
	}
	b := read(t, files[0])
	starts := lineStarts(b)
	write(t, files[0], b[:starts[len(starts)-2]])
	if _, err := audit.Verify(files, f.known); err == nil {
		t.Error("a line cut off an older file is not seen")
	}
}

func TestTornLineIsRepaired(t *testing.T) {
	f := newFixture(t)
	trail := f.open(t, audit.Options{})
	add(t, trail, 2)
	path := f.files(t)[0]
	good := read(t, path)
	starts := lineStarts(good)
	for _, size := range []int{0, 10, starts[1], starts[1] + 1, len(good) - 1, len(good)} {
		write(t, path, good[:size])
		trail := f.open(t, audit.Options{})
		add(t, trail, 1)
		if _, err := audit.Verify(f.files(t), f.known); err != nil {
			t.Errorf("cut at %d: %v", size, err)
		}
		whole := size == 0 || good[size-1] == '\n'
		if repaired := bytes.Contains(read(t, path), []byte(audit.TrailRepaired)); repaired == (whole || size < starts[1]) {
			t.Errorf("cut at %d: said so: %v", size, repaired)
		}
		if err := trail.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path, []byte("something else\n"))
	if _, err := audit.OpenTrail(f.dir, f.key, audit.Options{}); err == nil {
		t.Error("goes on behind what is no trail")
	}
}

func TestEmptyNewestFile(t *testing.T) {
	f := newFixture(t)
	trail := f.open(t, audit.Options{MaxFile: 2000})
	for len(f.files(t)) < 2 {
		add(t, trail, 1)
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, f.files(t)[1], nil) // killed between create and write
	add(t, f.open(t, audit.Options{MaxFile: 2000}), 1)
	if _, err := audit.Verify(f.files(t), f.known); err != nil {
		t.Error(err)
	}
}

func TestScan(t *testing.T) {
	f := newFixture(t)
	trail := f.open(t, audit.Options{})
	add(t, trail, 5)
	path := f.files(t)[0]
	var sessions []string
	collect := func(e audit.Entry) error {
		sessions = append(sessions, e.Session)
		return nil
	}
	end, err := audit.Scan(path, 0, func(raw []byte) bool { return bytes.Contains(raw, []byte(`"S3"`)) }, collect)
	if err != nil || len(sessions) != 1 || sessions[0] != "S3" {
		t.Errorf("%v %v", err, sessions)
	}
	sessions = nil
	if again, err := audit.Scan(path, end, nil, collect); err != nil || again != end || sessions != nil {
		t.Errorf("%v %v", err, sessions)
	}
	add(t, trail, 1)
	if _, err := audit.Scan(path, end, nil, collect); err != nil || len(sessions) != 1 || sessions[0] != "S0" {
		t.Errorf("%v %v", err, sessions)
	}
}

func FuzzVerify(f *testing.F) {
	fix := newFixture(f)
	add(f, fix.open(f, audit.Options{}), 1)
	path := fix.files(f)[0]
	good := read(f, path)
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), filepath.Base(path))
		write(t, path, b)
		_, err := audit.Verify([]string{path}, fix.known)
		if err == nil && !bytes.HasPrefix(good, b) {
			t.Errorf("holds: %q", b)
		}
		_, _ = audit.Scan(path, 0, nil, func(audit.Entry) error { return nil })
	})
}
