package record_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"shellagent/jwtauth"
	"shellagent/record"
	"shellagent/seal"
	"shellagent/shell"
)

var started = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

type fixture struct {
	host *jwtauth.PrivateKey
	key  *seal.Key
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.Load(t.TempDir(), host, started)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{host, key}
}

// known is for whoever knows this agent's host key.
func (f fixture) known(k jwtauth.PublicKey) error {
	if !k.Equal(f.host.PublicKey()) {
		return errors.New("unknown")
	}
	return nil
}

func header() record.Header {
	return record.Header{
		Session: "SESSION", Host: "web1", Source: "debug", Subject: "alice", Key: "KEY", User: "operator",
		Argv: []string{"/bin/bash"}, Terminal: true, Started: started, Labels: map[string]string{"pr-number": "12"},
	}
}

// small is a recording with all that there can be in one.
func (f fixture) small(t testing.TB, o record.Options) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "2030", "small.cast.zst")
	w, err := record.Create(path, header(), f.key, o)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Output(time.Second, shell.FrameStdout, []byte("hello \xe2\x82")))
	must(w.Output(1500*time.Millisecond, shell.FrameStdout, []byte("\xac\r\n")))
	must(w.Flush())
	must(w.Output(2*time.Second, shell.FrameStderr, []byte("oops\xff\n")))
	must(w.Resize(3*time.Second, 100, 30))
	must(w.Flush())
	must(w.Input(4*time.Second, []byte("ls\n\xc3")))
	must(w.Mark(4*time.Second, "gap"))
	_, err = w.End(5*time.Second, 7)
	must(err)
	b, err := os.ReadFile(path)
	must(err)
	return b
}

func export(t testing.TB, b []byte, known record.Knower, o record.ExportOptions) (string, error) {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(b), known)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = record.Export(&out, r, o)
	return out.String(), err
}

const wantV2 = `[1.000000, "o", "hello "]
[1.500000, "o", "€\r\n"]
[2.000000, "o", "oops�\n"]
[3.000000, "r", "100x30"]
[4.000000, "i", "ls\n"]
[4.000000, "m", "gap"]
[5.000000, "i", "�"]
[5.000000, "x", "7"]
`

const wantV3 = `[1.000000, "o", "hello "]
[0.500000, "o", "€\r\n"]
[0.500000, "o", "oops�\n"]
[1.000000, "r", "100x30"]
[1.000000, "i", "ls\n"]
[0.000000, "m", "gap"]
[1.000000, "i", "�"]
[0.000000, "x", "7"]
`

func TestExport(t *testing.T) {
	f := newFixture(t)
	b := f.small(t, record.Options{Cols: 90, Rows: 20, Term: "xterm"})
	for version, want := range map[int]struct{ first, rest string }{
		2: {`"width":90,"height":20,`, wantV2},
		3: {`"term":{"cols":90,"rows":20,"type":"xterm"},`, wantV3},
	} {
		got, err := export(t, b, f.known, record.ExportOptions{Version: version})
		if err != nil {
			t.Fatal(err)
		}
		first, rest, _ := strings.Cut(got, "\n")
		if !strings.Contains(first, want.first) || !strings.Contains(first, `"pr-number":"12"`) {
			t.Errorf("version %d begins with %s", version, first)
		}
		if rest != want.rest {
			t.Errorf("version %d goes on\n%s", version, rest)
		}
	}
}

// Every byte of a recording is vouched for: whichever is changed, the place is
// found, and nothing before it is doubted.
func TestEveryByteChanged(t *testing.T) {
	f := newFixture(t)
	b := f.small(t, record.Options{})
	starts := segmentStarts(t, b, f.known)
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1 << rand.IntN(8)
		d := damage(t, changed, f.known)
		if d == nil {
			t.Fatalf("byte %d is changed, and nobody sees it", i)
		}
		if segment := segmentOf(starts, i); d.Segment > uint64(max(segment, 1)) || d.Offset > int64(i) {
			t.Fatalf("byte %d of segment %d is changed; found was: %v", i, segment, d)
		}
	}
}

func TestEveryByteRemoved(t *testing.T) {
	f := newFixture(t)
	b := f.small(t, record.Options{})
	for i := range b {
		if d := damage(t, append(bytes.Clone(b[:i]), b[i+1:]...), f.known); d == nil {
			t.Fatalf("byte %d is removed, and nobody sees it", i)
		}
		if d := damage(t, b[:i], f.known); d == nil {
			t.Fatalf("all from byte %d is cut off, and nobody sees it", i)
		} else if d.Offset > int64(i) {
			t.Fatalf("all from byte %d is cut off; found was: %v", i, d)
		}
	}
	if d := damage(t, append(bytes.Clone(b), 'x'), f.known); d == nil {
		t.Fatal("a byte too many is not seen")
	}
}

func TestSegmentsMoved(t *testing.T) {
	f := newFixture(t)
	b := f.small(t, record.Options{})
	starts := segmentStarts(t, b, f.known)
	if len(starts) < 4 {
		t.Fatalf("%d segments", len(starts))
	}
	a, m, z := b[starts[1]:starts[2]], b[starts[2]:starts[3]], b[starts[3]:]
	head := b[:starts[1]]
	for what, parts := range map[string][][]byte{
		"swapped":  {head, m, a, z},
		"removed":  {head, a, z},
		"doubled":  {head, a, a, m, z},
		"cut":      {head, a, m},
		"appended": {head, a, m, z, m},
	} {
		d := damage(t, bytes.Join(parts, nil), f.known)
		if d == nil {
			t.Errorf("%s: not seen", what)
		}
		if what == "cut" && !errors.Is(d, record.ErrCut) {
			t.Errorf("cut: %v", d)
		}
	}
	other := newFixture(t)
	if d := damage(t, b, other.known); d == nil {
		t.Error("another agent's recording is taken for this one's")
	}
}

func TestCutEndIsRepaired(t *testing.T) {
	f := newFixture(t)
	b := f.small(t, record.Options{})
	starts := segmentStarts(t, b, f.known)
	got, err := export(t, b[:starts[4]+5], nil, record.ExportOptions{})
	if !errors.Is(err, record.ErrCut) {
		t.Errorf("error %v", err)
	}
	_, rest, _ := strings.Cut(got, "\n")
	if !strings.HasPrefix(wantV2, rest) || !strings.HasSuffix(rest, "100x30\"]\n") {
		t.Errorf("left is\n%s", rest)
	}
}

func TestEncrypted(t *testing.T) {
	f := newFixture(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := record.ParseRecipients([]string{identity.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	b := f.small(t, record.Options{Recipients: recipients})
	if d := damage(t, b, f.known); d != nil {
		t.Errorf("without the identity it cannot be verified: %v", d)
	}
	if _, err := export(t, b, f.known, record.ExportOptions{}); !errors.Is(err, record.ErrEncrypted) {
		t.Errorf("without the identity: %v", err)
	}
	got, err := export(t, b, f.known, record.ExportOptions{Identities: []age.Identity{identity}})
	if _, rest, _ := strings.Cut(got, "\n"); err != nil || rest != wantV2 {
		t.Errorf("got %v and\n%s", err, rest)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := export(t, b, f.known, record.ExportOptions{Identities: []age.Identity{other}}); err == nil {
		t.Error("another identity reads it")
	}
}

func TestFilesAreTheOwners(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "recordings", "x.cast.zst")
	w, err := record.Create(path, header(), f.key, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abandon()
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	if _, err := record.Create(path, header(), f.key, record.Options{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second recording of the same name: %v", err)
	}
}

// damage returns what is wrong with a recording, or nil.
func damage(t testing.TB, b []byte, known record.Knower) *record.Damage {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(b), known)
	for err == nil {
		_, err = r.Next()
	}
	if err == io.EOF {
		return nil
	}
	var d *record.Damage
	if !errors.As(err, &d) {
		t.Fatal(err)
	}
	return d
}

// segmentStarts are the offsets at which segments begin, the header's first.
func segmentStarts(t testing.TB, b []byte, known record.Knower) []int {
	t.Helper()
	starts := []int{0}
	for i := 0; ; i++ {
		at := bytes.Index(b[starts[i]+1:], []byte{0x5E, 0x2A, 0x4D, 0x18})
		if at < 0 {
			break
		}
		starts = append(starts, starts[i]+1+at)
	}
	if d := damage(t, b, known); d != nil {
		t.Fatal(d)
	}
	return starts
}

func segmentOf(starts []int, offset int) int {
	n := 0
	for n+1 < len(starts) && starts[n+1] <= offset {
		n++
	}
	return n
}

// Whatever the pieces in which bytes arrive, the characters are the same.
func TestRunesInAnyPieces(t *testing.T) {
	f := newFixture(t)
	text := "aé€😀\xff\xe2\x82x\xf0\x9f\x98"
	for range 200 {
		path := filepath.Join(t.TempDir(), "x")
		w, err := record.Create(path, header(), f.key, record.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for rest := []byte(text); len(rest) > 0; {
			n := 1 + rand.IntN(len(rest))
			if err := w.Output(0, shell.FrameStdout, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if _, err := w.End(0, 0); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := export(t, b, f.known, record.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var shown strings.Builder
		for _, line := range strings.Split(strings.TrimSpace(got), "\n")[1:] {
			e, err := record.ParseEvent([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			if e.Code == 'o' {
				shown.Write(e.Data())
			}
		}
		// A broken character may be shown as one mark or as several.
		if got := squeeze(shown.String()); got != "aé€😀�x�" {
			t.Fatalf("got %q", got)
		}
	}
}

func squeeze(s string) string {
	for strings.Contains(s, "��") {
		s = strings.ReplaceAll(s, "��", "�")
	}
	return s
}

func FuzzReader(f *testing.F) {
	fix := newFixture(f)
	f.Add(fix.small(f, record.Options{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, known := range []record.Knower{nil, fix.known} {
			r, err := record.NewReader(bytes.NewReader(b), known)
			if err != nil {
				continue
			}
			_ = record.Export(io.Discard, r, record.ExportOptions{})
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`[1.000000, "o", "hello "]`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := record.ParseEvent(line); err == nil {
			e.Data()
		}
	})
}
