package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"shellagent/internal/fanout"
	"shellagent/internal/share"
	"shellagent/shell"
	"shellagent/shell/shellhttp"
	"shellagent/targets"
)

// keyring finds the keys once for many contacts.
type keyring struct {
	once sync.Once
	keys []targets.Identity
	err  error
}

func (k *keyring) find(ctx context.Context, c *contact) ([]targets.Identity, error) {
	k.once.Do(func() { k.keys, k.err = c.searchKeys(ctx) })
	return k.keys, k.err
}

// sayer says things of one target.
func (a *fleet) sayer(label string) func(share.Level, string) {
	return func(level share.Level, text string) { a.ui.say(level, label+": "+text) }
}

// one runs the program on one target, from the connection to the exit.
func (a *fleet) one(ctx context.Context, i int) fanout.Result {
	m := a.members[i]
	ctx, cancel := a.program.limited(ctx)
	defer cancel()
	request, input := a.request, inputReady
	if len(a.input) == 0 {
		request.NoInput, input = true, inputNone
	}
	session, letGo, err := m.begin(ctx, a.program.share, opening{m.source, request, input, nil, nil})
	if err != nil {
		return a.judge(ctx, m, nil, err)
	}
	defer letGo()
	a.progress.Began(i)
	defer a.asked.follow(session)()
	for line := range strings.Lines(session.Info().Banner) {
		m.ui.note("%s", line)
	}
	var sending sync.WaitGroup
	if len(a.input) > 0 {
		sending.Go(func() { giveAll(session, a.input) })
	}
	stdout, stderr := a.printer.Streams(i)
	out := &output{stdout: stdout, stderr: stderr, notice: m.notice}
	exit, err := out.copy(ctx, session)
	r := ofExit(exit)
	if err != nil {
		r = a.judge(ctx, m, session, err)
	}
	m.sayGoodbye(session, err)
	sending.Wait()
	return r
}

// giveAll writes a whole input. That the session is over before, its output tells
// better.
func giveAll(session remote, input []byte) {
	if _, err := session.Write(input); err == nil {
		_ = session.CloseWrite()
	}
}

func ofExit(exit shell.Exit) fanout.Result {
	r := fanout.Result{Outcome: fanout.Exited, Code: exit.Code, Signal: exit.Signal, Why: clean(exit.Reason)}
	if exit.Signal != "" {
		r.Outcome = fanout.Signalled
	}
	return r
}

// judge says what an error means for a target whose session, if there is one, did
// not come to its exit. What the person has to know beyond a few words is said here.
func (a *fleet) judge(ctx context.Context, m member, session remote, err error) fanout.Result {
	var write *outputError
	if errors.As(err, &write) && !errors.Is(err, fanout.ErrSpool) {
		a.cancel(write)
	}
	var limit *timeLimit
	var asked *signalled
	cause := context.Cause(ctx)
	switch {
	case errors.As(err, &write):
		return fanout.Result{Outcome: fanout.Stopped, Code: codeLocal, Why: clean(err.Error())}
	case errors.As(cause, &limit):
		return fanout.Result{Outcome: fanout.TimedOut, Code: codeTimeLimit, Why: limit.Error()}
	case errors.As(cause, &asked):
		return fanout.Result{Outcome: fanout.Stopped, Code: codeSignal + signalNumber(asked.signal), Why: "ended from here"}
	case cause != nil:
		return fanout.Result{Outcome: fanout.Stopped, Why: clean(cause.Error())}
	}
	outcome := fanout.Unreached
	if session != nil {
		outcome, err = fanout.Lost, explained(m.target.Name, session.Info(), err)
	}
	lines := a.explainFor(m, err)
	for _, line := range lines {
		a.ui.line(m.label + ": " + line)
	}
	return fanout.Result{Outcome: outcome, Code: codeOf(err), Why: clean(briefly(err, outcome, lines))}
}

// codeOf is the exit code that an error has, else that of the connection.
func codeOf(err error) int {
	var exit Exit
	var failed *failure
	switch {
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &failed):
		return failed.code
	}
	return codeTransport
}

// explainFor is explain, with the command that settles an unknown host's key.
func (a *fleet) explainFor(m member, err error) []string {
	var unknown *targets.UnknownHostError
	var exit Exit
	switch {
	case errors.As(err, &unknown):
		lines := append([]string{unknown.Error()}, fingerprints(unknown.Key)...)
		return append(lines,
			fmt.Sprintf("if this is the right key: %s exec --fingerprint %s %s %s -- true", a.ui.name, unknown.Key.Thumbprint(), m.source, m.target.Name),
			"or accept whatever key comes first with --accept-new")
	case errors.As(err, &exit):
		return nil // it was said
	}
	return explain(err)
}

// briefly is an error for the summary.
func briefly(err error, outcome fanout.Outcome, lines []string) string {
	var unknown *targets.UnknownHostError
	var changed *targets.ChangedHostKeyError
	var problem *shellhttp.Problem
	var gone *shellhttp.LostError
	var dns *net.DNSError
	var network *net.OpError
	var system *os.SyscallError
	switch {
	case errors.As(err, &unknown):
		return "unknown host key"
	case errors.As(err, &changed):
		return "THE HOST KEY HAS CHANGED"
	case errors.As(err, &gone) && gone.Gone:
		return "the session is gone"
	case errors.As(err, &gone):
		return "the connection is lost"
	case errors.As(err, &problem):
		return "refused (" + problem.Code + ")"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case outcome == fanout.Unreached && errors.As(err, &system):
		return "cannot connect: " + system.Err.Error()
	case outcome == fanout.Unreached && errors.As(err, &network) && network.Err != nil:
		return "cannot connect: " + network.Err.Error()
	case len(lines) == 0:
		return "cannot connect"
	}
	return lines[0]
}

// done is told of each target at its end.
func (a *fleet) done(i int, r fanout.Result) {
	a.progress.Done(i, r)
	if err := a.printer.Done(i, r); err != nil {
		a.cancel(&outputError{err})
	}
}

// conclude says how it went, and returns the exit for all.
func (a *fleet) conclude(ctx context.Context, results []fanout.Result) error {
	code := fanout.Code(results)
	var write *outputError
	if errors.As(context.Cause(ctx), &write) {
		return a.broken(write.err)
	}
	if asked := a.asked.first(); asked != nil {
		code = codeSignal + signalNumber(asked)
	}
	if events, ok := a.printer.(*fanout.Events); ok {
		if err := events.Summary(results, code); err != nil {
			return a.broken(err)
		}
	}
	if code != 0 || a.style(a.stderr).Align {
		a.conclusion(code, fanout.Summary(a.labels(), results))
	}
	if code == 0 {
		return nil
	}
	return otherExit{Exit(code)}
}

func (a *fleet) conclusion(code int, text string) {
	if code != 0 {
		a.ui.line(text)
		return
	}
	a.ui.note("%s", text)
}

// broken is the exit when output cannot be written.
func (a *fleet) broken(err error) error {
	if isBrokenPipe(err) {
		return otherExit{exitPipe}
	}
	return failWith(codeTransport, &outputError{err})
}
