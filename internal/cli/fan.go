package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"shellagent/internal/fanout"
	"shellagent/internal/terminal"
	"shellagent/shell"
	"shellagent/targets"
)

const (
	defaultParallel = 32
	maxParallel     = 1024
	// maxAllInput bounds the input that is given to every target, in bytes.
	maxAllInput = 16 << 20
)

// fan are the flags of a command that several targets can run at once.
type fan struct {
	parallel      int
	group, events bool
	failFast      bool
	allInput      bool
	flags         *pflag.FlagSet
}

// fanFlags ask for the ways of several targets, for one target as well.
var fanFlags = []string{"parallel", "group", "json", "fail-fast", "stdin-all"}

func (f *fan) register(c *cobra.Command) {
	f.flags = c.Flags()
	f.flags.IntVar(&f.parallel, "parallel", defaultParallel, "run on `N` targets at once")
	f.flags.BoolVar(&f.group, "group", false, "show each target's output together, once it has ended")
	f.flags.BoolVar(&f.events, "json", false, "show output and ends as JSON, one object a line")
	f.flags.BoolVar(&f.failFast, "fail-fast", false, "end all when one target fails")
	f.flags.BoolVar(&f.allInput, "stdin-all", false, "give standard input, up to 16 MiB, to every target (by default several targets get none)")
}

// asked reports whether the words or the flags ask for several targets.
func (f *fan) asked(words []string) bool {
	for _, name := range fanFlags {
		if f.flags.Changed(name) {
			return true
		}
	}
	return len(words) > 0 && len(words) <= 2 && targets.IsList(words[len(words)-1])
}

func (f *fan) check(r *reach, p *program, request shell.OpenRequest) error {
	switch {
	case f.parallel < 1 || f.parallel > maxParallel:
		return misuse("--parallel %d: 1 to %d are possible", f.parallel, maxParallel)
	case f.group && f.events:
		return misuse("--group and --json exclude each other")
	case f.allInput && p.noInput:
		return misuse("--stdin-all and -n exclude each other")
	case p.forceTerminal:
		return misuse("-t is for one target")
	case request.Subsystem != "":
		return misuse("--subsystem is for one target")
	}
	return nil
}

// fleet are the targets of one call, and what they have in common.
type fleet struct {
	*surroundings
	reach   *reach
	fan     *fan
	program *program
	request shell.OpenRequest
	input   []byte
	config  *targets.Config
	keys    *keyring
	members []member

	screen   *fanout.Screen
	printer  fanout.Printer
	progress *fanout.Progress
	cancel   context.CancelCauseFunc
	asked    interrupts
}

// member is a target of a fleet.
type member struct {
	*contact
	source string
	label  string
}

// runMany runs a program on every target of a list. It returns nil when all
// succeeded.
func (s *surroundings) runMany(ctx context.Context, r *reach, p *program, f *fan, words []string, request shell.OpenRequest) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := f.check(r, p, request); err != nil {
		return err
	}
	r.cover, r.compress = p.cover.on(), p.compress.on
	var err error
	if request.Env, err = p.offered(s.getenv); err != nil {
		return err
	}
	all := &fleet{surroundings: s, reach: r, fan: f, program: p, request: request, keys: &keyring{}}
	if err := all.gather(words); err != nil {
		return err
	}
	if err := all.readInput(); err != nil {
		return err
	}
	return all.run(ctx)
}

// gather finds every target before anything is begun.
func (a *fleet) gather(words []string) error {
	if err := a.reach.check(a.ui); err != nil {
		return err
	}
	var err error
	if a.config, err = targets.Load(targets.DefaultPaths(a.getenv), a.reach.config); err != nil {
		return Usage(err)
	}
	picks, err := a.expand(words)
	if err != nil {
		return err
	}
	if a.reach.fingerprint != "" && len(picks) > 1 {
		return misuse("--fingerprint is of one target: give each its own in the configuration")
	}
	times := map[string]int{}
	for _, p := range picks {
		times[p.Name]++
	}
	for _, p := range picks {
		m, err := a.member(p)
		if err != nil {
			return err
		}
		if m.label = clean(p.Name); times[p.Name] > 1 {
			m.label = clean(m.source + "@" + p.Name)
		}
		m.ui.relay = a.sayer(m.label)
		a.members = append(a.members, m)
	}
	return nil
}

func (a *fleet) labels() (all []string) {
	for _, m := range a.members {
		all = append(all, m.label)
	}
	return all
}

func (a *fleet) expand(words []string) ([]targets.Pick, error) {
	if len(words) == 0 || len(words) > 2 {
		_, _, err := addressArgs(words)
		return nil, err
	}
	var source string
	if len(words) == 2 {
		source = words[0]
	}
	picks, err := a.config.Expand(source, words[len(words)-1])
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	if len(picks) == 0 {
		return nil, Usage(fmt.Errorf("%s names no target: its group is empty", words[len(words)-1]))
	}
	return picks, nil
}

// member settles where a target is and which source it opens. What is said about
// it begins with its name.
func (a *fleet) member(p targets.Pick) (member, error) {
	own := *a.reach
	own.batch = true // nobody is asked in the middle
	s := *a.surroundings
	s.ui = &ui{name: a.ui.name, out: io.Discard, quiet: a.ui.quiet, verbose: a.ui.verbose}
	c, err := s.addressIn(a.config, &own, p.Name)
	if err != nil {
		return member{}, err
	}
	c.keyring = a.keys
	source, err := c.target.PickSource(p.Source)
	if err != nil {
		return member{}, Usage(err)
	}
	return member{contact: c, source: source}, nil
}

// readInput takes what --stdin-all gives to everybody.
func (a *fleet) readInput() error {
	if !a.fan.allInput {
		return nil
	}
	var err error
	if a.input, err = io.ReadAll(io.LimitReader(a.stdin, maxAllInput+1)); err != nil {
		return failWith(codeLocal, fmt.Errorf("cannot read the input: %w", err))
	}
	if len(a.input) > maxAllInput {
		return Usage(fmt.Errorf("--stdin-all: the input is more than %d MiB; copy it to the targets as a file first", maxAllInput>>20))
	}
	return nil
}

// run runs on every target and says how it went.
func (a *fleet) run(ctx context.Context) error {
	defer catchBrokenPipe()()
	ctx, a.cancel = context.WithCancelCause(ctx)
	defer a.cancel(nil)
	defer a.listen()()
	if err := a.unlock(ctx); err != nil {
		return err
	}
	if err := a.prepare(); err != nil {
		return a.broken(err)
	}
	stopProgress := a.showProgress()
	plan := fanout.Plan{
		Targets: len(a.members), Parallel: a.fan.parallel, FailFast: a.fan.failFast, Stop: a.asked.once, Do: a.one, Done: a.done,
	}
	results := plan.Run(ctx)
	stopProgress()
	return a.conclude(ctx, results)
}

// unlock asks for what the keys need before anything else is shown, unless
// processes that have them already hold every connection.
func (a *fleet) unlock(ctx context.Context) error {
	for _, m := range a.members {
		idle, err := a.program.share.idle(m.target)
		if err != nil {
			return err
		}
		if idle == 0 {
			asker := contact{surroundings: a.surroundings, reach: a.reach, config: a.config, keyring: a.keys}
			return asker.findKeys(ctx)
		}
	}
	return nil
}

// prepare chooses how output is shown.
func (a *fleet) prepare() (err error) {
	labels := a.labels()
	a.screen = fanout.NewScreen(a.stdout, a.stderr, isBrokenPipe)
	a.ui.mu.Lock()
	a.ui.out = a.screen.Messages()
	a.ui.mu.Unlock()
	a.progress = fanout.NewProgress(a.screen, labels, func() int { return int(terminal.SizeOf(a.stderr).Cols) })
	switch {
	case a.fan.events:
		var named []fanout.EventTarget
		for _, m := range a.members {
			named = append(named, fanout.EventTarget{Target: m.label, Source: m.source})
		}
		a.printer, err = fanout.NewEvents(a.screen, named)
	case a.fan.group:
		a.printer = fanout.NewGroups(a.screen, labels, a.style(a.stdout).Colour, !sameFile(a.stdout, a.stderr))
	default:
		a.printer = fanout.NewLines(a.screen, labels, a.style(a.stdout), a.style(a.stderr))
	}
	return err
}

// style has colours and columns only where a person looks. NO_COLOR is of
// no-color.org.
func (a *fleet) style(f *os.File) fanout.Style {
	if !terminal.Is(f) {
		return fanout.Style{}
	}
	term := a.getenv("TERM")
	return fanout.Style{Align: true, Colour: term != "" && term != "dumb" && a.getenv("NO_COLOR") == ""}
}

func sameFile(a, b *os.File) bool {
	one, err := a.Stat()
	if err != nil {
		return false
	}
	other, err := b.Stat()
	return err == nil && os.SameFile(one, other)
}

// showProgress shows on a terminal how far it is, until the end.
func (a *fleet) showProgress() (stop func()) {
	if a.ui.quiet || a.ui.verbose || !a.style(a.stderr).Align || a.getenv("TERM") == "dumb" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.progress.Show(ctx)
	}()
	return func() {
		cancel()
		<-over
	}
}

// timeLimit is the cause of a context that --timeout ended.
type timeLimit struct{ after time.Duration }

func (l *timeLimit) Error() string { return fmt.Sprintf("the time limit of %v is over", l.after) }
