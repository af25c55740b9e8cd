package audit_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/audit"
	"shellagent/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (f fixture) log(t *testing.T, edit func(*audit.LogConfig)) *audit.Log {
	t.Helper()
	cfg := audit.LogConfig{Dir: f.dir, Sealer: f.key, Options: audit.Options{Host: "web1"}, Version: "1.2"}
	if edit != nil {
		edit(&cfg)
	}
	l := audit.NewLog(cfg)
	t.Cleanup(func() {
		if err := l.Close(within(t)); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (f fixture) events(t *testing.T) (all []audit.Event) {
	t.Helper()
	for _, path := range f.files(t) {
		if _, err := audit.Scan(path, 0, nil, func(e audit.Entry) error { all = append(all, e.Event); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func flush(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
}

func TestFactsBecomeLines(t *testing.T) {
	f := newFixture(t)
	l := f.log(t, nil)
	who := shell.Event{Session: "S1", Source: "debug", Subject: "alice", Key: "K1", User: "operator", UID: 7, Remote: netip.MustParseAddr("::ffff:192.0.2.1")}
	tell := func(kind shell.EventKind, edit func(*shell.Event)) {
		e := who
		e.Kind = kind
		if edit != nil {
			edit(&e)
		}
		l.Observe(e)
	}
	l.Observe(shell.Event{Kind: shell.EventStarted})
	l.Observe(shell.Event{Kind: shell.EventFrontStarted})
	l.Observe(shell.Event{Kind: shell.EventFrontStarted, Count: 1})
	tell(shell.EventOpened, func(e *shell.Event) { e.Detail = &shell.Detail{Argv: []string{"-bash"}, Terminal: true} })
	tell(shell.EventOpened, func(e *shell.Event) {
		e.Detail = &shell.Detail{Command: "id -u", Argv: []string{"bash", "-c", "id -u"}}
	})
	tell(shell.EventStdin, nil)
	tell(shell.EventOutput, nil)
	tell(shell.EventWatched, nil)
	tell(shell.EventLimit, func(e *shell.Event) { e.Detail = &shell.Detail{Why: "idle_timeout"} })
	tell(shell.EventEnded, func(e *shell.Event) {
		e.Exit, e.Duration, e.Output = shell.Exit{Code: 129, Signal: "HUP", Reason: "idle timeout"}, 1500*time.Millisecond, 9
	})
	tell(shell.EventForwardOpened, func(e *shell.Event) {
		e.Detail = &shell.Detail{Forward: &shell.Forwarded{Do: "open", Destination: "db:5432", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.5")}}}
	})
	tell(shell.EventForwardEnded, func(e *shell.Event) {
		e.Input, e.Output, e.Duration = 3, 4, time.Second
		e.Detail = &shell.Detail{Forward: &shell.Forwarded{Do: "accept", Destination: "localhost:8080", From: "127.0.0.1:4711", Broken: true}}
	})
	tell(shell.EventForwardDenied, func(e *shell.Event) {
		e.Detail = &shell.Detail{Forward: &shell.Forwarded{Do: "listen", Destination: "agent", Code: "denied"}}
	})
	tell(shell.EventForwardFailed, func(e *shell.Event) { e.Detail = &shell.Detail{Forward: &shell.Forwarded{Do: "open", Code: "limit"}} })
	l.Observe(shell.Event{Kind: shell.EventRefused, Reason: shell.ReasonSignature, Count: 1})
	l.Observe(shell.Event{Kind: shell.EventRefusals, Reason: shell.ReasonMaxSessions, Count: 3, Source: "debug", Err: errors.New("full")})
	l.Observe(shell.Event{Kind: shell.EventReloaded, Err: errors.New("broken")})
	l.Observe(shell.Event{Kind: shell.EventKeyRevoked, Key: "K1", Detail: &shell.Detail{Why: "removed"}})
	flush(t, l)
	var kinds []audit.Kind
	byKind := make(map[audit.Kind]audit.Event)
	for _, e := range f.events(t) {
		kinds = append(kinds, e.Kind)
		byKind[e.Kind] = e
	}
	want := []audit.Kind{
		audit.TrailBegins, audit.AgentStarted, audit.FrontRestarted, audit.SessionOpened, audit.SessionOpened, audit.CommandRun,
		audit.SessionWatched, audit.LimitReached, audit.SessionEnded, audit.ForwardOpened, audit.ForwardEnded, audit.ForwardDenied, audit.ForwardFailed, audit.RequestRefused, audit.LimitReached, audit.PolicyReloaded, audit.KeyRevoked,
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("got  %v\nwant %v", kinds, want)
	}
	if e := byKind[audit.SessionEnded]; *e.Exit != 129 || e.Signal != "HUP" || e.Reason != "idle timeout" || e.Duration != 1.5 ||
		*e.Input != 0 || *e.Output != 9 || e.Remote != "192.0.2.1" || *e.UID != 7 || e.Session != "S1" || e.Host != "web1" || e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	if e := byKind[audit.ForwardOpened]; e.Forward != "open" || e.Destination != "db:5432" || !slices.Equal(e.Addresses, []string{"10.0.0.5"}) || e.Input != nil || e.Subject != "alice" {
		t.Errorf("%+v", e)
	}
	if e := byKind[audit.ForwardEnded]; *e.Input != 3 || *e.Output != 4 || e.Duration != 1 || e.Peer != "127.0.0.1:4711" || !e.Broken ||
		!strings.Contains(e.String(), "from 192.0.2.1 accept localhost:8080 for 127.0.0.1:4711 after 1s, 4 bytes out, 3 in") {
		t.Errorf("%+v, %s", e, e.String())
	}
	if e := byKind[audit.ForwardDenied]; e.Reason != "denied" || e.Forward != "listen" || e.Destination != "agent" {
		t.Errorf("%+v", e)
	}
	if e := byKind[audit.CommandRun]; e.Command != "id -u" || len(e.Argv) != 3 || e.Subject != "alice" {
		t.Errorf("%+v", e)
	}
	if e := byKind[audit.RequestRefused]; e.Reason != "max_sessions" || e.Count != 3 || e.Error != "full" || e.UID != nil {
		t.Errorf("%+v", e)
	}
	if byKind[audit.AgentStarted].Agent != "1.2" || byKind[audit.KeyRevoked].Reason != "removed" || byKind[audit.PolicyReloaded].Error != "broken" {
		t.Errorf("%+v", byKind)
	}
	if _, err := audit.Verify(f.files(t), f.known); err != nil {
		t.Error(err)
	}
}

// What is told while nothing can be written is written later, in order, and what
// did not fit is told.
func TestLogOutlivesItsDisk(t *testing.T) {
	f := newFixture(t)
	write(t, f.dir, []byte("in the way"))
	l := f.log(t, func(c *audit.LogConfig) { c.Keep.Refuse = true })
	const told = 16<<10 + 500
	l.Add(&audit.Event{Kind: audit.SessionOpened, Session: "first"})
	for ctx := within(t); l.Admit() == nil; {
		if ctx.Err() != nil {
			t.Fatal("sessions begin though nothing can be written")
		}
	}
	if err := l.Admit(); !errors.Is(err, audit.ErrFull) {
		t.Error(err)
	}
	for range told {
		l.Add(&audit.Event{Kind: audit.SessionOpened})
	}
	if waiting, err := l.Suspend(within(t)); err != nil || len(waiting) != 16<<10+2 || waiting[0].Session != "first" || waiting[16<<10+1].Count != 500 {
		t.Errorf("%v: %d events are left to another", err, len(waiting))
	}
	l.Resume()
	if err := os.Remove(f.dir); err != nil {
		t.Fatal(err)
	}
	flush(t, l)
	all := f.events(t)
	last := all[len(all)-1]
	if last.Kind != audit.TrailLost || last.Reason != "queue" || last.Count != 500 || all[1].Session != "first" {
		t.Errorf("%d events, the last: %+v", len(all), last)
	}
	if s := l.State(); s.Err != nil || s.Lost != 500 || s.Failures == 0 || s.Waiting != 0 || int(s.Written) != len(all)-1 {
		t.Errorf("%+v of %d", s, len(all))
	}
	if err := l.Admit(); err != nil {
		t.Error(err)
	}
}

func TestLogIsLeftToAnother(t *testing.T) {
	f := newFixture(t)
	l := f.log(t, nil)
	l.Add(&audit.Event{Kind: audit.SessionOpened})
	if waiting, err := l.Suspend(within(t)); err != nil || len(waiting) != 0 {
		t.Fatal(err, waiting)
	}
	l.Add(&audit.Event{Kind: audit.SessionEnded, Session: "held"})
	if b := read(t, f.files(t)[0]); bytes.Contains(b, []byte("held")) {
		t.Error("written though suspended")
	}
	other := f.open(t, audit.Options{})
	add(t, other, 1)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	l.Resume()
	flush(t, l)
	if got, err := audit.Verify(f.files(t), f.known); err != nil || got.Lines != 4 {
		t.Errorf("%v %+v", err, got)
	}
}

// reader is a sink that takes nothing beyond a line.
type reader struct{ next uint64 }

func (r reader) Wake()                     {}
func (r reader) Behind() map[string]uint64 { return map[string]uint64{"slow": r.next} }

func TestOldFilesGo(t *testing.T) {
	f := newFixture(t)
	fill := func(l *audit.Log, n int) {
		for range n {
			l.Add(&audit.Event{Kind: audit.SessionOpened, Command: string(bytes.Repeat([]byte("x"), 900))})
			flush(t, l)
		}
	}
	options := audit.Options{MaxFile: 2000}
	l := f.log(t, func(c *audit.LogConfig) { c.Options, c.Keep = options, audit.Keeping{Files: 2} })
	l.SetSpool(reader{1})
	fill(l, 10)
	count := func(want int) {
		t.Helper()
		for ctx := within(t); len(f.files(t)) != want; {
			l.SetSpool(reader{1}) // has it look again
			if ctx.Err() != nil {
				t.Fatalf("%d files, want %d", len(f.files(t)), want)
			}
		}
	}
	count(3)
	if err := l.Admit(); err != nil {
		t.Error(err)
	}
	l.SetKeeping(audit.Keeping{Files: 2, Refuse: true})
	for l.Admit() == nil {
		fill(l, 1)
	}
	if n := len(f.files(t)); n < 4 || n > 6 {
		t.Errorf("%d files are kept for a sink", n)
	}
	fill(l, 20) // and yet not for ever
	count(5)
	if _, err := audit.Verify(f.files(t), f.known); err != nil {
		t.Error(err)
	}
	l.SetSpool(nil)
	for ctx := within(t); l.Admit() != nil; {
		if ctx.Err() != nil {
			t.Fatal("full for ever")
		}
	}
}

func TestTailGoesOnOverFiles(t *testing.T) {
	f := newFixture(t)
	trail := f.open(t, audit.Options{MaxFile: 3000})
	tail := audit.NewTail(f.dir, 0)
	next := uint64(1)
	readAll := func() {
		t.Helper()
		for {
			lines, missed, err := tail.Read(3, 1<<20)
			if err != nil || missed != 0 {
				t.Fatal(err, missed)
			}
			if len(lines) == 0 {
				return
			}
			for _, l := range lines {
				if l.Number != next || l.Sum() == "" {
					t.Fatalf("line %d, want %d", l.Number, next)
				}
				next++
			}
		}
	}
	for range 6 {
		add(t, trail, 5)
		readAll()
		if next != trail.Link().N+1 {
			t.Fatalf("up to %d of %d", next, trail.Link().N)
		}
	}
	if file, offset := tail.Place(); audit.Backlog(f.dir, file, offset) != 0 {
		t.Error("something is left")
	}
	// Another one begins in the middle, and one where there is nothing any more.
	if lines, _, err := audit.NewTail(f.dir, 17).Read(1, 1); err != nil || lines[0].Number != 17 {
		t.Error(err)
	}
	files := f.files(t)
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	lines, missed, err := audit.NewTail(f.dir, 2).Read(1, 1)
	if err != nil || missed == 0 || lines[0].Number != 2+missed || lines[0].Kind != audit.TrailBegins {
		t.Errorf("%v: %d missed", err, missed)
	}
	if lines, missed, err := audit.NewTail(filepath.Join(f.dir, "none"), 1).Read(1, 1); err != nil || lines != nil || missed != 0 {
		t.Errorf("%v %v", err, lines)
	}
}
