package sink

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/audit"
	"shellagent/jwtauth"
	"shellagent/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trail is a trail that is written while sinks read it.
type trail struct {
	t   *testing.T
	dir string
	*audit.Trail
	set *Set

	mu   sync.Mutex
	told []*audit.Event
}

func newTrail(t *testing.T, o audit.Options) *trail {
	t.Helper()
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.Load(t.TempDir(), host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	o.Host = "web1"
	tr := &trail{t: t, dir: filepath.Join(t.TempDir(), "audit")}
	if tr.Trail, err = audit.OpenTrail(tr.dir, key, o); err != nil {
		t.Fatal(err)
	}
	tr.set = tr.newSet()
	return tr
}

func (tr *trail) newSet() *Set {
	set := NewSet(tr.dir, func(events ...*audit.Event) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.told = append(tr.told, events...)
	}, nil)
	set.first = 10 * time.Millisecond
	tr.t.Cleanup(func() {
		done, cancel := context.WithCancel(context.Background())
		cancel()
		set.Close(done)
	})
	return set
}

func (tr *trail) add(from, to int) {
	tr.t.Helper()
	for i := from; i < to; i++ {
		e := &audit.Event{Kind: audit.SessionOpened, Session: fmt.Sprintf("S%05d", i), Command: "echo ü\n\"<>\""}
		if err := tr.Append(e); err != nil {
			tr.t.Fatal(err)
		}
	}
	tr.set.Wake()
}

func (tr *trail) apply(configs ...Config) {
	tr.t.Helper()
	for i, c := range configs {
		configs[i] = c.Rooted(tr.dir)
		if err := configs[i].Check(""); err != nil {
			tr.t.Fatal(err)
		}
	}
	tr.set.Apply(configs)
}

// await waits for a condition of the one sink.
func (tr *trail) await(what string, holds func(State) bool) {
	tr.t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		states := tr.set.States()
		if holds(states[0]) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			tr.t.Fatalf("%s: not within a minute: %+v", what, states)
		}
	}
}

func (tr *trail) awaitAll() {
	tr.t.Helper()
	tr.await("everything taken", func(s State) bool { return s.Next == tr.Link().N+1 && s.Backlog == 0 && s.Oldest.IsZero() })
}

// wholeAndInOrder holds lines against the trail: each is there, the first time
// in the trail's order.
func (tr *trail) wholeAndInOrder(got []string) {
	tr.t.Helper()
	seen := make(map[string]bool)
	var first []string
	for _, l := range got {
		if !seen[l] {
			first = append(first, l)
		}
		seen[l] = true
	}
	files, err := audit.Files(tr.dir)
	if err != nil {
		tr.t.Fatal(err)
	}
	var want []string
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			tr.t.Fatal(err)
		}
		want = append(want, strings.Split(strings.TrimSpace(string(b)), "\n")...)
	}
	if strings.Join(first, "\n") != strings.Join(want, "\n") {
		tr.t.Errorf("%d lines came, %d different ones, %d are in the trail: not the same, or in another order", len(got), len(first), len(want))
	}
	tr.t.Logf("%d lines, %d came twice", len(want), len(got)-len(first))
}

func linesOf(t *testing.T, paths ...string) (lines []string) {
	t.Helper()
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSpace(string(b)), "\n")...)
	}
	return lines
}

func TestFileIsRotatedUnderTheSink(t *testing.T) {
	tr := newTrail(t, audit.Options{MaxFile: 8000})
	path := filepath.Join(tr.dir, "out")
	tr.add(0, 50)
	tr.apply(Config{Type: TypeFile, Path: path})
	tr.awaitAll()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	tr.add(50, 60)
	tr.awaitAll()
	tr.wholeAndInOrder(linesOf(t, path+".1", path))
	// A second agent goes on where the first was: it was stopped in order.
	tr.apply()
	tr.set = tr.newSet()
	tr.apply(Config{Type: TypeFile, Path: path})
	tr.add(60, 70)
	tr.awaitAll()
	all := linesOf(t, path+".1", path)
	tr.wholeAndInOrder(all)
	if uint64(len(all)) != tr.Link().N {
		t.Errorf("%d lines of %d", len(all), tr.Link().N)
	}
}

func TestSinkComesBackToItsPlace(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	dir := filepath.Join(tr.dir, "later")
	tr.apply(Config{Name: "kept", Type: TypeFile, Path: filepath.Join(dir, "out")})
	tr.add(0, 20)
	tr.await("failing", func(s State) bool { return s.Failures > 1 && s.Err != nil && s.Backlog > 0 && !s.Oldest.IsZero() })
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tr.awaitAll()
	tr.wholeAndInOrder(linesOf(t, filepath.Join(dir, "out")))
	tr.await("well again", func(s State) bool { return s.Err == nil })
	if s := tr.set.States()[0]; s.Err != nil || s.Lost != 0 || s.Taken != tr.Link().N {
		t.Errorf("%+v", s)
	}
}

func TestRemovedLinesAreTold(t *testing.T) {
	tr := newTrail(t, audit.Options{MaxFile: 4000})
	tr.add(0, 100)
	files, err := audit.Files(tr.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files[:3] {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	tr.apply(Config{Type: TypeFile, Path: filepath.Join(tr.dir, "out")})
	tr.awaitAll()
	tr.wholeAndInOrder(linesOf(t, filepath.Join(tr.dir, "out")))
	lost := tr.set.States()[0].Lost
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.told) != 1 || tr.told[0].Kind != audit.TrailLost || tr.told[0].Sink != "file" || tr.told[0].Count != lost || lost == 0 {
		t.Errorf("%+v", tr.told)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Type: "kafka"}, "/type: "}, {Config{Name: "x"}, "/type: "},
		{Config{Type: TypeFile}, "/type: a file needs a path"},
		{Config{Type: TypeFile, Path: "/x", Name: "../x"}, "/name: "},
		{Config{Type: TypeFile, Path: "/x", URL: "https://x"}, "/url: url means nothing"},
		{Config{Type: TypeFile, Path: "/x", Batch: -1}, "/batch: "},
		{Config{Type: TypeFile, Path: "/x", Timeout: time.Millisecond}, "/timeout: "},
		{Config{Type: TypeSyslog}, "/address: "},
		{Config{Type: TypeSyslog, Address: "udp:x:1"}, "/address: "},
		{Config{Type: TypeSyslog, Address: "tcp:x"}, "/address: "},
		{Config{Type: TypeSyslog, Address: "unix:dev/log"}, "/address: "},
		{Config{Type: TypeSyslog, Address: "tcp:x:1", Facility: "kern"}, "/facility: "},
		{Config{Type: TypeSyslog, Address: "tcp:x:1", CAPath: "/etc/passwd"}, "/caPath: caPath means nothing"},
		{Config{Type: TypeSyslog, Address: "tls:x:1", CAPath: "/etc/passwd"}, "/caPath: "},
		{Config{Type: TypeHTTPS, URL: "http://siem.example/x"}, "/url: "},
		{Config{Type: TypeHTTPS, URL: "https://user:pw@siem.example/x"}, "/url: "},
		{Config{Type: TypeHTTPS, URL: "siem.example"}, "/url: "},
		{Config{Type: TypeHTTPS, URL: "https://x", Format: "xml"}, "/format: "},
		{Config{Type: TypeHTTPS, URL: "https://x", Headers: map[string]string{"a b": ""}}, "/headers: "},
		{Config{Type: TypeHTTPS, URL: "https://x", BearerPath: "/nonexistent"}, "/bearerPath: "},
		{Config{Type: TypeHTTPS, URL: "https://x", CertPath: "/etc/passwd"}, "/certPath: "},
		{Config{Type: TypeElasticsearch, URL: "https://x", Index: "A b"}, "/index: "},
		{Config{Type: TypeHTTPS, URL: "https://x"}, ""},
		{Config{Type: TypeElasticsearch, URL: "http://127.0.0.1:9200"}, ""},
		{Config{Type: TypeJournald}, ""},
		{Config{Type: TypeSyslog, Address: "unix:/dev/log"}, ""},
	} {
		err := c.config.Rooted("/etc").Check("")
		text := ""
		if err != nil {
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				m := e.(*Mistake)
				text += m.Pointer() + ": " + m.Error() + "\n"
			}
		}
		if !strings.HasPrefix(text, c.want) || (c.want == "") != (err == nil) || strings.Count(text, "\n") > 1 {
			t.Errorf("%+v: got %q, want %q", c.config, text, c.want)
		}
	}
}
