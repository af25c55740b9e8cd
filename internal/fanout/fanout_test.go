package fanout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shown is a screen and what was written to it.
type shown struct {
	*Screen
	out, err bytes.Buffer
}

func newShown() *shown {
	s := &shown{}
	s.Screen = NewScreen(&s.out, &s.err, func(err error) bool { return errors.Is(err, io.ErrClosedPipe) })
	return s
}

func TestPlanDoesEachOnceAndNotTooManyAtOnce(t *testing.T) {
	const targets, parallel = 200, 7
	var now, most atomic.Int64
	var mu sync.Mutex
	var done []int
	full := make(chan struct{})
	var once sync.Once
	p := Plan{Targets: targets, Parallel: parallel, Do: func(_ context.Context, i int) Result {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == parallel {
			once.Do(func() { close(full) })
		}
		<-full // as many as may run do
		return Result{Outcome: Exited, Code: i % 3}
	}, Done: func(i int, _ Result) {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, i)
	}}
	results := p.Run(t.Context())
	slices.Sort(done)
	if most.Load() != parallel || len(done) != targets || slices.Compact(done)[targets-1] != targets-1 {
		t.Errorf("%d at once, %d done", most.Load(), len(done))
	}
	for i, r := range results {
		if r.Outcome != Exited || r.Code != i%3 {
			t.Errorf("%d: %+v", i, r)
		}
	}
}

func TestPlanFailsFast(t *testing.T) {
	waiting := make(chan struct{})
	p := Plan{Targets: 9, Parallel: 2, FailFast: true, Do: func(ctx context.Context, i int) Result {
		if i == 0 {
			close(waiting)
			<-ctx.Done()
			return Result{Outcome: Stopped, Why: context.Cause(ctx).Error()}
		}
		<-waiting
		return Result{Outcome: Exited, Code: 7}
	}}
	results := p.Run(t.Context())
	if results[0].Why != ErrOther.Error() || results[1].Code != 7 || results[2].Outcome != Skipped || Code(results) != 7 {
		t.Errorf("%+v", results)
	}
}

func TestPlanIsStopped(t *testing.T) {
	stop := make(chan struct{})
	p := Plan{Targets: 5, Parallel: 1, Stop: stop, Do: func(_ context.Context, i int) Result {
		if i == 1 {
			close(stop)
		}
		return Result{Outcome: Exited}
	}}
	results := p.Run(t.Context())
	if Succeeded(results) != 2 || results[4].Outcome != Skipped || Code(results) != 1 {
		t.Errorf("%+v", results)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if results := (&Plan{Targets: 3, Parallel: 9, Do: p.Do}).Run(ctx); Succeeded(results) != 0 {
		t.Errorf("begun after the end: %+v", results)
	}
}

func TestCodeAndSummary(t *testing.T) {
	ok, two := Result{Outcome: Exited}, Result{Outcome: Exited, Code: 2}
	killed := Result{Outcome: Signalled, Code: 137, Signal: "KILL", Why: "idle timeout"}
	down := Result{Outcome: Unreached, Code: 255, Why: "cannot connect: no route to host"}
	for _, tt := range []struct {
		results []Result
		code    int
		summary string
	}{
		{[]Result{ok, ok}, 0, "2 of 2 succeeded"},
		{[]Result{two, two}, 2, "0 of 2 succeeded; a, b: exit 2"},
		{[]Result{ok, two, down}, 255, "1 of 3 succeeded; b: exit 2; c: cannot connect: no route to host"},
		{[]Result{killed, two, two, {Outcome: Skipped}}, 137, "0 of 4 succeeded; a: ended by signal KILL: idle timeout; b, c: exit 2; d: not begun"},
		{[]Result{ok, {Outcome: Skipped}}, 1, "1 of 2 succeeded; b: not begun"},
	} {
		if code, text := Code(tt.results), Summary([]string{"a", "b", "c", "d"}, tt.results); code != tt.code || text != tt.summary {
			t.Errorf("%d %q, want %d %q", code, text, tt.code, tt.summary)
		}
	}
}

func TestScreenKeepsTheStatusLast(t *testing.T) {
	s := newShown()
	s.Status("1 of 2")
	s.Status("1 of 2")
	if err := s.write(Stdout, []byte("line\n")); err != nil {
		t.Error(err)
	}
	s.Status("2 of 2")
	_, _ = io.WriteString(s.Messages(), "said\n")
	s.Status("2 of 2")
	s.Status("")
	if got, want := s.err.String(), "1 of 2"+eraseLine+"2 of 2"+eraseLine+"said\n2 of 2"+eraseLine; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// failing fails every write.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestScreenWhoseReaderIsGone(t *testing.T) {
	gone := func(err error) bool { return errors.Is(err, io.ErrClosedPipe) }
	var out bytes.Buffer
	s := NewScreen(&out, failing{io.ErrClosedPipe}, gone)
	l := NewLines(s, []string{"a"}, Style{}, Style{})
	stdout, stderr := l.Streams(0)
	if _, err := io.WriteString(stderr, "nobody reads this\n"); err != nil {
		t.Errorf("standard error that nobody reads: %v", err)
	}
	if _, err := io.WriteString(stdout, "text\n"); err != nil || out.String() != "a | text\n" {
		t.Errorf("%q %v", out.String(), err)
	}
	full := errors.New("disk full")
	s = NewScreen(failing{full}, io.Discard, gone)
	for _, p := range []Printer{NewLines(s, []string{"a"}, Style{}, Style{}), NewGroups(s, []string{"a"}, false, false)} {
		stdout, _ := p.Streams(0)
		_, err := io.WriteString(stdout, "text\n")
		if err = errors.Join(err, p.Done(0, Result{})); !errors.Is(err, full) {
			t.Errorf("%T: %v", p, err)
		}
	}
	if _, err := NewEvents(s, nil); !errors.Is(err, full) {
		t.Errorf("events: %v", err)
	}
}

func TestProgressFitsItsLine(t *testing.T) {
	labels := []string{"web1", "web2", "a-rather-long-name.example", "db"}
	width := 80
	p := NewProgress(newShown().Screen, labels, func() int { return width })
	if line := p.line(); line != "" {
		t.Errorf("before anything runs: %q", line)
	}
	for i := range labels {
		p.Began(i)
	}
	p.Done(1, Result{Outcome: Exited, Code: 1})
	for w, want := range map[int]string{
		80: "1 of 4 done, 1 failed; running: web1, a-rather-long-name.example, db",
		60: "1 of 4 done, 1 failed; running: web1 and 2 more",
		10: "1 of 4 do",
		0:  "",
	} {
		if width = w; p.line() != want {
			t.Errorf("%d columns: %q, want %q", w, p.line(), want)
		}
	}
	s := newShown()
	p = NewProgress(s.Screen, labels, func() int { return 80 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Show(ctx)
	if strings.Contains(s.err.String(), "done") {
		t.Errorf("drawn after the end: %q", s.err.String())
	}
}
