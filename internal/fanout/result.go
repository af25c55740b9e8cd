package fanout

import (
	"fmt"
	"strings"
	"time"
)

// Outcome says how far a target came.
type Outcome string

const (
	// Exited: the program ended by itself.
	Exited Outcome = "exited"
	// Signalled: a signal ended the program.
	Signalled Outcome = "signalled"
	// Unreached: there was no session: no connection, another host key, a refusal.
	Unreached Outcome = "unreached"
	// Lost: the session was there, and its end was not seen.
	Lost Outcome = "lost"
	// TimedOut: the time limit was over first.
	TimedOut Outcome = "timeout"
	// Stopped: it was ended from here before it ended by itself.
	Stopped Outcome = "stopped"
	// Skipped: it was not begun.
	Skipped Outcome = "skipped"
)

// Result is what became of one target. The zero value is none.
type Result struct {
	Outcome Outcome
	// Code is the exit code that it means, 0 to 255.
	Code int
	// Signal is the one that ended the program, without "SIG".
	Signal string
	// Why says in one line what an outcome other than Exited came from.
	Why string
	// Took is from the beginning to the end.
	Took time.Duration
}

// OK reports whether the program ran and succeeded.
func (r Result) OK() bool { return r.Outcome == Exited && r.Code == 0 }

// String returns the result in a few words: "exit 2", "cannot connect: …".
func (r Result) String() string {
	switch {
	case r.Outcome == Exited:
		return fmt.Sprintf("exit %d", r.Code)
	case r.Outcome == Signalled && r.Why != "":
		return fmt.Sprintf("ended by signal %s: %s", r.Signal, r.Why)
	case r.Outcome == Signalled:
		return "ended by signal " + r.Signal
	case r.Why != "":
		return r.Why
	case r.Outcome == Skipped:
		return "not begun"
	}
	return string(r.Outcome)
}

// Code is the exit code for all: the greatest of theirs, so 0 only when all
// succeeded, the one that all have in common, and 255 when one was not reached.
func Code(results []Result) int {
	code := 0
	for _, r := range results {
		if code = max(code, r.Code); code == 0 && !r.OK() {
			code = 1
		}
	}
	return code
}

// Summary says in one line who did not succeed, and why. Those with the same
// reason stand together.
func Summary(labels []string, results []Result) string {
	var reasons []string
	who := map[string][]string{}
	for i, r := range results {
		if r.OK() {
			continue
		}
		why := r.String()
		if who[why] == nil {
			reasons = append(reasons, why)
		}
		who[why] = append(who[why], labels[i])
	}
	text := fmt.Sprintf("%d of %d succeeded", Succeeded(results), len(results))
	for _, why := range reasons {
		text += "; " + strings.Join(who[why], ", ") + ": " + why
	}
	return text
}

// Succeeded counts those that are OK.
func Succeeded(results []Result) int {
	n := 0
	for _, r := range results {
		if r.OK() {
			n++
		}
	}
	return n
}
