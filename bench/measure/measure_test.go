package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/bench/driver"
	"shellagent/bench/peers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a peer without a server: its client runs what it is asked by itself,
// after what the script says that it does to it.
type fake struct {
	script string // "$@" is the command as the user's shell would run it
	lacks  bool
}

func (f fake) Name() string { return "fake" }

func (f fake) Command(a peers.Ask) (driver.Command, error) {
	if f.lacks {
		return driver.Command{}, fmt.Errorf("fake: %w", peers.ErrNotOffered)
	}
	argv := []string{"/bin/sh", "-c", f.script, "sh", "sh", "-c", a.Command}
	if a.Command == "" {
		argv = append(argv[:4], "sh", "-c", "PS1='"+peers.Prompt+"' exec sh -i")
	}
	return driver.Command{Argv: argv, Env: append(os.Environ(), "ENV=", "HOME=/nonexistent")}, nil
}

func (f fake) Servers() ([]int, error) { return nil, nil }

// honest runs what it is asked; slow does so after a while; corrupting changes
// what passes; refusing does nothing.
var (
	honest     = fake{script: `exec "$@"`}
	slow       = fake{script: `sleep 0.3; exec "$@"`}
	corrupting = fake{script: `"$@" | sed -u s/Q/q/g`}
	refusing   = fake{script: `echo refused >&2; exit 255`}
)

func run(t *testing.T, turn func(context.Context, Subject, int) (Values, error), a peers.Ask, contestants ...peers.Peer) []Outcome {
	t.Helper()
	e := Experiment{Name: "test", Rounds: 3, Limit: 30 * time.Second, Turn: turn}
	for i, p := range contestants {
		e.Contestants = append(e.Contestants, Contestant{fmt.Sprint(i), p, a})
	}
	return e.Run(t.Context(), slog.New(slog.DiscardHandler)).Outcomes
}

// Whatever the machine is busy with, what waits longer takes longer: 0.3 s lie
// between the two, and each has three turns.
func TestASlowPeerIsReportedAsSlow(t *testing.T) {
	for name, c := range map[string]struct {
		turn   func(context.Context, Subject, int) (Values, error)
		ask    peers.Ask
		metric string
		least  float64
	}{
		"prompt":    {Prompt, peers.Ask{}, "ms", 300},
		"exec true": {Whole, peers.Ask{Command: "true"}, "ms", 300},
		"crowd":     {Crowd(5), peers.Ask{Command: "true"}, "s", 0.3},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, c.turn, c.ask, honest, slow)
			for _, o := range got {
				if o.Failed != "" || len(o.Values[c.metric]) != 3 {
					t.Fatalf("%+v", got)
				}
			}
			for _, v := range got[1].Values[c.metric] {
				if v < c.least {
					t.Errorf("the slow peer took %v", v)
				}
			}
			if quickest, slowest := slices.Min(got[0].Values[c.metric]), slices.Max(got[1].Values[c.metric]); quickest >= slowest {
				t.Errorf("the other one took %v at least, this one %v at most", quickest, slowest)
			}
		})
	}
}

func TestASlowEchoIsReportedAsSlow(t *testing.T) {
	typing := Typing{Keys: 20, From: time.Millisecond, To: 5 * time.Millisecond}
	lazy := fake{script: `stty -icanon -echo; echo ready; while key=$(dd bs=1 count=1 2>/dev/null); do sleep 0.05; printf %s "$key"; done`}
	got := run(t, typing.Echo, peers.Ask{Command: EchoCommand, Terminal: true}, honest, lazy)
	if got[0].Failed != "" || got[1].Failed != "" {
		t.Fatalf("%+v", got)
	}
	for _, v := range got[1].Values["p50"] {
		if v < 50 {
			t.Errorf("an echo after 50 ms was seen after %v ms", v)
		}
	}
	if got[0].Values["p50"][0] >= got[1].Values["p50"][0] {
		t.Errorf("the quick one is not quicker: %+v", got)
	}
}

func TestAWrongEchoFails(t *testing.T) {
	const each = `stty -icanon -echo; echo ready; while key=$(dd bs=1 count=1 2>/dev/null); do `
	wrong := fake{script: each + `printf Z; done`}
	doubling := fake{script: each + `printf %s%s "$key" "$key"; done`}
	typing := Typing{Keys: 5, From: 50 * time.Millisecond, To: 60 * time.Millisecond}
	for _, o := range run(t, typing.Echo, peers.Ask{Command: EchoCommand, Terminal: true}, wrong, doubling) {
		if o.Failed == "" {
			t.Errorf("%+v", o)
		}
	}
}

func TestTransfersOfAnHonestPeer(t *testing.T) {
	for name, c := range transfers(t) {
		t.Run(name, func(t *testing.T) {
			for _, o := range run(t, c.turn, c.ask, honest) {
				if o.Failed != "" || len(o.Values["MB/s"]) != 3 {
					t.Fatalf("%+v", o)
				}
				for _, v := range o.Values["MB/s"] {
					if v <= 0 {
						t.Errorf("%v MB/s", v)
					}
				}
			}
		})
	}
}

func TestATransferThatIsNotExactFails(t *testing.T) {
	for name, c := range transfers(t) {
		t.Run(name, func(t *testing.T) {
			for _, o := range run(t, c.turn, c.ask, c.corrupting) {
				if !strings.Contains(o.Failed, "SHA-256") {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}

type transfer struct {
	turn       func(context.Context, Subject, int) (Values, error)
	ask        peers.Ask
	corrupting fake
}

func transfers(t *testing.T) map[string]transfer {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	data := bytes.Repeat([]byte("the Quick brown fox\n"), 64<<10)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	down := Download{Path: file, Want: data}
	screen := Download{Path: file, Want: bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")), Terminal: true}
	up := Upload{Path: filepath.Join(dir, "up"), Size: 1 << 20, Data: data}
	return map[string]transfer{
		"down":     {down.Turn, peers.Ask{Command: down.Command()}, corrupting},
		"terminal": {screen.Turn, peers.Ask{Command: screen.Command(), Terminal: true}, corrupting},
		"up":       {up.Turn, peers.Ask{Command: up.Command()}, fake{script: `dd bs=64k conv=lcase 2>/dev/null | "$@"`}},
	}
}

func TestWhoDoesNotAnswerIsReported(t *testing.T) {
	got := run(t, Whole, peers.Ask{Command: "true"}, refusing, fake{lacks: true}, honest)
	if !strings.Contains(got[0].Failed, "refused") || got[0].NotRun != "" {
		t.Errorf("%+v", got[0])
	}
	if got[1].NotRun == "" || got[1].Failed != "" {
		t.Errorf("%+v", got[1])
	}
	if len(got[2].Values["ms"]) != 3 {
		t.Errorf("%+v", got[2])
	}
}

func TestATurnEndsAtItsLimit(t *testing.T) {
	e := Experiment{Name: "test", Rounds: 1, Limit: 200 * time.Millisecond, Turn: Whole}
	e.Contestants = []Contestant{{"asleep", fake{script: "exec sleep 60"}, peers.Ask{Command: "true"}}}
	got := e.Run(t.Context(), slog.New(slog.DiscardHandler)).Outcomes[0]
	if !strings.Contains(got.Failed, "longer than 200ms") {
		t.Errorf("%+v", got)
	}
}

func TestACrowdCountsWhoIsRefused(t *testing.T) {
	one := filepath.Join(t.TempDir(), "one")
	// mkdir succeeds once.
	first := fake{script: "mkdir " + one + "$PPID 2>/dev/null || exit 255"}
	e := Experiment{Name: "test", Rounds: 1, Limit: 30 * time.Second, Turn: Crowd(4)}
	e.Contestants = []Contestant{{"first", first, peers.Ask{Command: "true"}}}
	got := e.Run(t.Context(), slog.New(slog.DiscardHandler)).Outcomes[0]
	if got.Failed != "" || got.Values["refused"][0] != 3 {
		t.Errorf("%+v", got)
	}
}

func TestEveryRoundBeginsWithAnother(t *testing.T) {
	var order []string
	e := Experiment{Name: "test", Rounds: 3, Limit: time.Second}
	for _, name := range []string{"a", "b", "c"} {
		e.Contestants = append(e.Contestants, Contestant{name, fake{script: name}, peers.Ask{Command: "true"}})
	}
	e.Turn = func(_ context.Context, s Subject, round int) (Values, error) {
		order = append(order, s.Command.Argv[2])
		if round == 1 && s.Command.Argv[2] == "a" {
			return nil, errors.New("broken")
		}
		return Values{"x": 1}, nil
	}
	got := e.Run(t.Context(), slog.New(slog.DiscardHandler))
	if want := "a b c b c a c b"; strings.Join(order, " ") != want {
		t.Errorf("%v, want %s", order, want)
	}
	if a := got.Outcomes[0]; a.Failed != "broken" || len(a.Values["x"]) != 1 {
		t.Errorf("%+v", a)
	}
}

func TestMemoryOfIdleSessions(t *testing.T) {
	idle := Idle{Sessions: 3, Settle: time.Millisecond}
	left := filepath.Join(t.TempDir(), "left")
	leaving := fake{script: `trap 'echo left >>` + left + `' EXIT; "$@"`}
	e := Experiment{Name: "test", Rounds: 1, Limit: 30 * time.Second, Turn: func(ctx context.Context, s Subject, round int) (Values, error) {
		s.Servers = func() ([]int, error) { return []int{os.Getpid()}, nil }
		return idle.Turn(ctx, s, round)
	}}
	e.Contestants = []Contestant{{"us", leaving, peers.Ask{}}}
	got := e.Run(t.Context(), slog.New(slog.DiscardHandler)).Outcomes[0]
	if got.Failed != "" || got.Values["KiB"][0] <= 0 {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(left); string(text) != strings.Repeat("left\n", 3) {
		t.Errorf("%q, %v: not all shells ended by themselves", text, err)
	}
}

func TestInterruptWaitsForThePrompt(t *testing.T) {
	for _, o := range run(t, Interrupt(200*time.Millisecond), peers.Ask{}, honest) {
		if o.Failed != "" || len(o.Values["ms"]) != 3 {
			t.Errorf("%+v", o)
		}
	}
}

func TestScaleMeasuresAtEveryCount(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	down := Download{Path: file, Want: data}
	subject := func(p fake, command string) Subject {
		c, err := p.Command(peers.Ask{Command: command})
		if err != nil {
			t.Fatal(err)
		}
		return Subject{c, func() ([]int, error) { return []int{os.Getpid()}, nil }}
	}
	sc := Scale{
		Counts: []int{1, 3}, Repeats: 2, Settle: time.Millisecond, Download: down,
		Idle:   time.Millisecond,
		Typing: Typing{Keys: 5, From: time.Millisecond, To: 2 * time.Millisecond},
		Seldom: Typing{Keys: 1, From: 5 * time.Millisecond, To: 5 * time.Millisecond},
	}
	var points []Point
	idle := subject(fake{script: `printf 'ready\r\n'; exec cat`}, "")
	err := sc.Run(t.Context(), idle, subject(honest, EchoCommand), subject(honest, down.Command()), func(p Point) { points = append(points, p) })
	if err != nil || len(points) != 2 || points[0].Sessions != 1 || points[1].Sessions != 3 {
		t.Fatalf("%+v, %v", points, err)
	}
	for _, p := range points {
		if p.MemoryMiB <= 0 || p.KeyMs <= 0 || p.MBPerSecond <= 0 {
			t.Errorf("%+v", p)
		}
	}
	// Half a processor for 1,000 idle sessions, and 300 µs a key.
	often := keys{number: 1000, used: 5300 * time.Millisecond, took: 10 * time.Second}
	seldom := keys{number: 10, used: 2503 * time.Millisecond, took: 5 * time.Second}
	if each := often.each(seldom); each < 299.9 || each > 300.1 {
		t.Errorf("a key costs %v µs, want 300", each)
	}
	err = sc.Run(t.Context(), subject(refusing, ""), subject(honest, EchoCommand), subject(honest, down.Command()), func(Point) {})
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
