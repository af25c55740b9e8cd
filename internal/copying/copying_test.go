package copying

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen is what an observer was told.
type seen struct {
	mu             sync.Mutex
	did            map[Outcome]int
	moved, resumed int64
	files, bytes   int64
	problems       []string
	warnings       []string
}

func newSeen() *seen { return &seen{did: map[Outcome]int{}} }

func (s *seen) Expected(files, bytes int64) {
	s.mu.Lock()
	s.files, s.bytes = files, bytes
	s.mu.Unlock()
}
func (s *seen) Moving(string)   {}
func (s *seen) Moved(n int64)   { s.mu.Lock(); s.moved += n; s.mu.Unlock() }
func (s *seen) Resumed(n int64) { s.mu.Lock(); s.resumed += n; s.mu.Unlock() }
func (s *seen) Did(o Outcome)   { s.mu.Lock(); s.did[o]++; s.mu.Unlock() }
func (s *seen) Problem(_ Side, path, text string, warning bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := filepath.Base(path) + ": " + text
	if warning {
		s.warnings = append(s.warnings, line)
		return
	}
	s.problems = append(s.problems, line)
}

// pair is two streams between two sides.
type pair struct{ toServer, fromServer [2]*os.File }

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{}
	for _, end := range []*[2]*os.File{&p.toServer, &p.fromServer} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		*end = [2]*os.File{r, w}
	}
	t.Cleanup(p.close)
	return p
}

func (p *pair) close() {
	for _, f := range []*os.File{p.toServer[0], p.toServer[1], p.fromServer[0], p.fromServer[1]} {
		f.Close()
	}
}

// serving runs a server; the function returned waits for it.
func serving(t *testing.T, s Served) (*pair, func() error) {
	t.Helper()
	p := newPair(t)
	ended := make(chan error, 1)
	go func() {
		err := Serve(context.Background(), p.toServer[0], p.fromServer[1], s)
		p.fromServer[1].Close()
		p.toServer[0].Close()
		ended <- err
	}()
	return p, func() error { return <-ended }
}

func everywhere(dir string) Served { return Served{Place: Everywhere{}, Start: dir, Home: dir} }

// push copies sources of this side to a server; pull the other way round.
func push(t *testing.T, s Served, o Options, to string, sources ...string) (*seen, error) {
	t.Helper()
	p, wait := serving(t, s)
	watch := newSeen()
	peer, err := AskToReceive(p.fromServer[0], p.toServer[1], to, o)
	if err == nil {
		err = peer.Send(t.Context(), Everywhere{}, sources, watch)
	}
	p.toServer[1].Close()
	if werr := wait(); werr != nil && err == nil {
		t.Errorf("the server ended with %v", werr)
	}
	return watch, err
}

func pull(t *testing.T, s Served, o Options, to string, sources ...string) (*seen, error) {
	t.Helper()
	p, wait := serving(t, s)
	watch := newSeen()
	peer, err := AskToSend(p.fromServer[0], p.toServer[1], sources, o)
	if err == nil {
		err = peer.Receive(t.Context(), Everywhere{}, to, watch)
	}
	p.toServer[1].Close()
	if werr := wait(); werr != nil && err == nil {
		t.Errorf("the server ended with %v", werr)
	}
	return watch, err
}

// between copies from one server to another.
func between(t *testing.T, from, to Served, o Options, dst string, sources ...string) (*seen, error) {
	t.Helper()
	a, waitA := serving(t, from)
	b, waitB := serving(t, to)
	watch := newSeen()
	source, err := AskToSend(a.fromServer[0], a.toServer[1], sources, o)
	if err == nil {
		var dest *Peer
		o.Into = o.Into || source.Sources > 1
		if dest, err = AskToReceive(b.fromServer[0], b.toServer[1], dst, o); err == nil {
			err = Relay(t.Context(), source, dest, watch)
		}
	}
	a.toServer[1].Close()
	b.toServer[1].Close()
	_, _ = waitA(), waitB()
	return watch, err
}

type way func(t *testing.T, o Options, to string, sources ...string) (*seen, error)

// ways are all that files can go.
func ways() map[string]way {
	return map[string]way{
		"push": func(t *testing.T, o Options, to string, sources ...string) (*seen, error) {
			return push(t, everywhere("/"), o, to, sources...)
		},
		"pull": func(t *testing.T, o Options, to string, sources ...string) (*seen, error) {
			return pull(t, everywhere("/"), o, to, sources...)
		},
		"between": func(t *testing.T, o Options, to string, sources ...string) (*seen, error) {
			return between(t, everywhere("/"), everywhere("/"), o, to, sources...)
		},
	}
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// listed is a tree as find tells it: names, kinds, modes, sizes, times, targets.
func listed(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-mindepth", "1", "-printf", `%P|%y|%m|%T@|%l|`, "(", "-type", "f", "-printf", "%s", "-o", "-true", ")", "-printf", `\0\n`).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\x00\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func sameTree(t *testing.T, a, b string) {
	t.Helper()
	if la, lb := listed(t, a), listed(t, b); la != lb {
		t.Errorf("the trees differ:\n%s\n---\n%s", la, lb)
	}
	if out, err := exec.Command("diff", "-r", "--no-dereference", a, b).CombinedOutput(); err != nil {
		t.Errorf("%v: %.2000s", err, out)
	}
}

// odd makes a tree of everything that a tree may hold.
func odd(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "odd")
	write(t, dir+"/plain", "text", 0o644)
	write(t, dir+"/empty", "", 0o600)
	write(t, dir+"/executable", "#!/bin/sh\n", 0o755)
	write(t, dir+"/nobody's", "secret", 0o400)
	write(t, dir+"/new\nline", "x", 0o644)
	write(t, dir+"/not \xff\xfe utf-8", "x", 0o644)
	write(t, dir+"/"+strings.Repeat("n", 255), "long name", 0o644)
	write(t, dir+"/"+strings.Repeat("ö", 127), "long name", 0o644)
	write(t, dir+"/ leading and trailing ", "x", 0o644)
	write(t, dir+"/-rf", "x", 0o644)
	write(t, dir+"/a/b/c/d/deep", "deep", 0o644)
	write(t, dir+"/readonly/f", "f", 0o444)
	write(t, dir+"/edge", strings.Repeat("e", maxInline), 0o644)
	write(t, dir+"/over the edge", strings.Repeat("e", maxInline+1), 0o644)
	write(t, dir+"/large", strings.Repeat("0123456789abcdef", 200_000), 0o640)
	for _, d := range []string{"/empty dir", "/shared"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "plain", "dangling": "/nonexistent/\xff", "up": "../..", "self": "self", "to dir": "a"} {
		if err := os.Symlink(target, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(dir + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{1 << 20, 9 << 20} {
		if _, err := sparse.WriteAt([]byte("data"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := sparse.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	sparse.Close()
	when := time.Unix(1_500_000_000, 123_456_789)
	for _, name := range []string{"/plain", "/large", "/a/b", "/empty dir", "/readonly/f"} {
		if err := os.Chtimes(dir+name, when, when); err != nil {
			t.Fatal(err)
		}
		when = when.Add(-time.Hour)
	}
	if err := os.Chtimes(dir+"/a", when, time.Unix(-3, 5)); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"/readonly": 0o555, "/shared": 0o775 | os.ModeSetgid | os.ModeSticky} {
		if err := os.Chmod(dir+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", filepath.Dir(dir)).Run() })
	return dir
}

func TestATreeArrivesAsItIs(t *testing.T) {
	from := odd(t)
	for name, copy := range ways() {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", base).Run() })
			to := filepath.Join(base, "new")
			watch, err := copy(t, Options{Count: true}, to, from)
			if err != nil || len(watch.problems)+len(watch.warnings) > 0 {
				t.Fatalf("%v, %q, %q", err, watch.problems, watch.warnings)
			}
			sameTree(t, from, to)
			if watch.files != 16 || watch.did[CopiedFile] != 16 || watch.did[CopiedLink] != 5 || watch.did[CopiedDir] != 8 || watch.moved != watch.bytes {
				t.Errorf("%+v", watch)
			}
			if a, b := blocksOf(t, from+"/sparse"), blocksOf(t, to+"/sparse"); b > a+64 {
				t.Errorf("the sparse file has %d blocks, and %d there", a, b)
			}
			// Over itself, into itself, and once more with nothing to do.
			for _, o := range []Options{{}, {Update: true}, {Sync: true}} {
				if watch, err := copy(t, o, to, from+"/."); err != nil || len(watch.problems) > 0 || o.Update && (watch.did[Unchanged] != 16 || watch.moved > 0) {
					t.Errorf("%+v: %v, %+v", o, err, watch)
				}
				sameTree(t, from, to)
			}
			if _, err := copy(t, Options{}, to, from); err != nil {
				t.Error(err)
			}
			sameTree(t, from, to+"/odd")
		})
	}
}

func blocksOf(t *testing.T, name string) int64 {
	t.Helper()
	out, err := exec.Command("stat", "-c", "%b", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if _, err := fmt.Sscan(string(out), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
