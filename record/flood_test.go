package record_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"shellagent/record"
	"shellagent/shell"
)

// flooded is the recording of text given in pieces, with a word of stderr between.
func (f fixture) flooded(t *testing.T, text []byte, o record.Options) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.cast.zst")
	w, err := record.Create(path, header(), f.key, o)
	if err != nil {
		t.Fatal(err)
	}
	half := len(text) / 2
	for rest := text; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(100<<10))
		if err := w.Output(time.Second, shell.FrameStdout, rest[:n]); err != nil {
			t.Fatal(err)
		}
		if before := len(rest); before > half && before-n <= half {
			if err := w.Output(time.Second, shell.FrameStderr, []byte("in the middle €\n")); err != nil {
				t.Fatal(err)
			}
		}
		rest = rest[n:]
	}
	if _, err := w.End(2*time.Second, 0); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shownBy is all output of a kind of event in a cast.
func shownBy(t *testing.T, cast string, code byte) []byte {
	t.Helper()
	var all []byte
	for line := range strings.Lines(cast[strings.IndexByte(cast, '\n')+1:]) {
		e, err := record.ParseEvent([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		if e.Code == code {
			all = append(all, e.Data()...)
		}
	}
	return all
}

// However much comes at once, and whichever form that is kept in, the cast has
// all of it, and the seal holds.
func TestFloodsAreKeptWhole(t *testing.T) {
	f := newFixture(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 3<<20)
	random := rand.NewChaCha8([32]byte{7})
	_, _ = random.Read(noise)
	var text []byte
	for i := 0; len(text) < 5<<20; i++ {
		text = fmt.Appendf(text, "\x1b[3%dm%d €uro 😀 %x\r\n", i%8, i, i*i*7919)
	}
	for name, c := range map[string]struct {
		data []byte
		most int // of the file; 0 for any
	}{
		"text": {text, 0}, "noise": {noise, len(noise) * 101 / 100}, "yes": {bytes.Repeat([]byte("yes\n"), 5<<18), 256 << 10},
	} {
		for _, to := range [][]age.Recipient{nil, {identity.Recipient()}} {
			b := f.flooded(t, c.data, record.Options{Recipients: to})
			if c.most > 0 && len(b) > c.most {
				t.Errorf("%s takes %d bytes", name, len(b))
			}
			got, err := export(t, b, f.known, record.ExportOptions{KeepStderr: true, Identities: []age.Identity{identity}})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if shown := shownBy(t, got, 'o'); !bytes.Equal(bytes.ToValidUTF8(shown, []byte("\uFFFD")), replaced(c.data)) {
				t.Errorf("%s, %d recipients: what is shown is not what was", name, len(to))
			}
			if shown := shownBy(t, got, 'e'); string(shown) != "in the middle €\n" {
				t.Errorf("%s: stderr shows %q", name, shown)
			}
		}
	}
}

// replaced has each byte that is not UTF-8 replaced, as JSON strings have.
func replaced(b []byte) []byte { return []byte(string([]rune(string(b)))) }

// Who reads a recording with zstd alone sees a cast that says what is not in it.
func TestFloodsAreSaidToZstd(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Log("NOT RUN: zstd is not installed")
		return
	}
	f := newFixture(t)
	noise := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{7})
	_, _ = random.Read(noise)
	cmd := exec.Command("zstd", "-dcq")
	cmd.Stdin = bytes.NewReader(f.flooded(t, noise, record.Options{}))
	cast, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if marks := shownBy(t, string(cast), 'm'); !bytes.Contains(marks, []byte("agent export shows it")) {
		t.Errorf("%q", marks)
	}
}

// The exit may be what fills a segment.
func TestEndFillsASegment(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	for i := range 64 {
		path := filepath.Join(dir, fmt.Sprint(i))
		w, err := record.Create(path, header(), f.key, record.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Output(0, shell.FrameStdout, bytes.Repeat([]byte("a"), 1<<20-8<<10-i)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.End(time.Second, 0); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := export(t, b, f.known, record.ExportOptions{}); err != nil || !strings.HasSuffix(got, "\"x\", \"0\"]\n") {
			t.Fatalf("%v: %q", err, got[max(0, len(got)-100):])
		}
	}
}
