package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"

	"shellagent/internal/share"
	"shellagent/jwtauth"
	"shellagent/shell/shellhttp"
	"shellagent/targets"
)

// This file holds what the program says to a person. Its rules:
//
//   - Results are printed by their command to standard output. All here goes to
//     standard error, or, as a question, to the controlling terminal.
//   - A message is one line: the program's name, a colon, no capital at the
//     start, no period at the end. It names the thing, then the remedy.
//     What needs more is several such lines.
//   - What another machine or a file wrote loses its control characters first.
//   - While the terminal is raw, lines end in "\r\n".
//   - -q silences notes. Errors and questions are never silenced.
//   - Help texts stand beside the flags and commands they describe.

// ui says things. It is safe for concurrent use.
type ui struct {
	name string
	out  io.Writer

	quiet, verbose bool

	mu sync.Mutex
	// drawn says that a status stands behind the terminal's cursor.
	drawn bool
	// isRaw reports whether the terminal is raw; nil means that it never is.
	isRaw func() bool
	// relay, unless nil, is who is told instead of the person here.
	relay func(share.Level, string)
}

func (u *ui) line(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.erase()
	end := "\n"
	if u.isRaw != nil && u.isRaw() {
		end = "\r\n"
	}
	// Nobody is left to be told that standard error fails.
	_, _ = io.WriteString(u.out, u.name+": "+clean(text)+end)
}

// raw says a line as it stands, to programs that read it.
func (u *ui) raw(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, _ = io.WriteString(u.out, text)
}

func (u *ui) rawWhen(isRaw func() bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.isRaw = isRaw
}

// say says something as loudly as its level asks for.
func (u *ui) say(level share.Level, text string) {
	switch {
	case u.relay != nil:
		u.relay(level, text)
	case level == share.LevelWarning:
		u.line("warning: " + text)
	case level == share.LevelNote && !u.quiet, level == share.LevelDebug && u.verbose:
		u.line(text)
	}
}

// note says something that a person may like to know.
func (u *ui) note(format string, args ...any) { u.say(share.LevelNote, fmt.Sprintf(format, args...)) }

// debug says what -v asks for.
func (u *ui) debug(format string, args ...any) { u.say(share.LevelDebug, fmt.Sprintf(format, args...)) }

// warn says what must be known although the work goes on.
func (u *ui) warn(format string, args ...any) {
	u.say(share.LevelWarning, fmt.Sprintf(format, args...))
}

// fail says why the program ends.
func (u *ui) fail(err error) {
	for _, line := range explain(err) {
		u.line(line)
	}
}

func (u *ui) hint(command string) { u.line("see " + command + " --help") }

// maxLine bounds a message, in bytes: what another machine says is part of it.
const maxLine = 4096

// clean drops what could move a terminal's cursor, reorder its text or end its line.
func clean(s string) string {
	if len(s) > maxLine {
		s = s[:maxLine] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// Clean drops from a text what could move a terminal's cursor, reorder it or end
// its line, and bounds its length: what is printed may come from anywhere.
func Clean(text string) string { return clean(text) }

// explain turns an error into lines that name the thing and the remedy.
func explain(err error) []string {
	var (
		unknown     *targets.UnknownHostError
		changed     *targets.ChangedHostKeyError
		fingerprint *targets.FingerprintError
		certificate *targets.CertificateError
		problem     *shellhttp.Problem
		dns         *net.DNSError
		elsewhere   *share.Failure
	)
	switch {
	case errors.As(err, &elsewhere):
		return elsewhere.Lines
	case errors.As(err, &unknown):
		return explainUnknown(unknown)
	case errors.As(err, &changed):
		return explainChanged(changed)
	case errors.As(err, &fingerprint):
		return []string{
			"REFUSED: " + fingerprint.Error(),
			"another machine may be answering in its place; ask the agent's owner for the fingerprint (agent keys fingerprint)",
		}
	case errors.As(err, &certificate):
		return []string{
			certificate.Error(),
			"check host and port; for a certificate of your own authority give its file with --ca or caPath",
		}
	case errors.As(err, &problem) && problem.Code == "taken_over":
		return []string{takenOver}
	case errors.As(err, &problem):
		return []string{"refused: " + problem.Error()}
	case errors.As(err, &dns) && dns.IsNotFound:
		return []string{fmt.Sprintf("no host is called %s; name a target of the client's configuration, or a host that resolves", dns.Name)}
	case errors.Is(err, context.DeadlineExceeded):
		return []string{err.Error() + "; is the host up, and is its port reachable? (--connect-timeout sets how long to wait)"}
	}
	return strings.Split(err.Error(), "\n")
}

func explainUnknown(e *targets.UnknownHostError) []string {
	lines := append([]string{e.Error()}, fingerprints(e.Key)...)
	if e.Declined {
		return lines
	}
	return append(lines,
		"if this is the right key, run it once with --fingerprint "+e.Key.Thumbprint(),
		"or accept whatever key comes first with --accept-new")
}

func explainChanged(e *targets.ChangedHostKeyError) []string {
	lines := []string{
		"REFUSED: THE HOST KEY OF " + e.Target.BaseURL.String() + " HAS CHANGED",
		"another machine may be answering in its place, or the agent was set up anew",
		"the key that answers now:",
	}
	lines = append(lines, fingerprints(e.Presented)...)
	for _, k := range e.Known {
		lines = append(lines, "the key that is known:")
		lines = append(lines, fingerprints(k.Key)...)
		lines = append(lines, fmt.Sprintf("  from %s:%d", e.File, k.Line))
	}
	return append(lines, "only if its owner confirms the new key: remove that line and connect again")
}

func fingerprints(k jwtauth.PublicKey) []string {
	return []string{"  " + k.Thumbprint(), "  " + k.OpenSSHFingerprint()}
}

// firstContact is the question about an agent that nobody has vouched for.
func firstContact(name string, f targets.FirstContact) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(name + ": " + clean(fmt.Sprintf(format, args...)) + "\n")
	}
	line("the agent at %s is not known; its host key is", f.Target.BaseURL)
	for _, text := range fingerprints(f.Key) {
		line("%s", text)
	}
	for _, k := range f.KnownAs {
		line("this key is known as %s (%s:%d)", k.BaseURL, f.File, k.Line)
	}
	return b.String()
}

const (
	askFirstContact   = "Is this the right key? (yes, no, or the fingerprint): "
	askAgain          = "Please type yes, no, or the fingerprint: "
	askPassphrase     = "Passphrase for %s: "
	askNewPassphrase  = "Passphrase for the new key (empty for none): "
	askPassphraseBack = "The same passphrase again: "
)

// escapeHelp is what "~?" shows.
var escapeHelp = []string{
	"these work at the start of a line:",
	"  ~.   leave and end the session, even when the connection is dead",
	"  ~d   detach: leave the session running, to come back with attach",
	"  ~^Z  suspend this program",
	"  ~#   list the forwarded connections",
	"  ~~   type one ~",
	"  ~?   this list",
}

// silence is after how many seconds an agent takes a client that says nothing
// for gone; one that is stopped says nothing.
const silence = 25

// What is said of a session whose client is stopped: that the agent keeps it, or
// that it was not told.
const (
	suspended  = "suspended; the session is kept for %d s, for this to go on with (fg) or for attach"
	suspending = "suspended; the agent hangs the session up unless this goes on within %d s"
)

// What is said of a connection that is lost for longer than a moment.
const (
	outage     = "the connection to %s is lost, trying again"
	outageKeys = " (~. leaves)"
	outageOver = "the connection to %s is back"
)

// What is said of a session that was left running.
const (
	detached    = "detached; the session is kept for %d s without a client; come back with:"
	comeBack    = "  %s attach %s %s"
	notDetached = "not detached: this source keeps no session without a client (its linger is 0)"
	takenOver   = "another client has taken this session over"
)

// What is said to somebody who watches a session.
const (
	watching  = "watching %s; q leaves"
	skipped   = "%d bytes of output were skipped"
	watchOver = "the session ended with %d"
	watchGone = "the session ended while the connection was lost"
	watchKeys = " (q leaves)"
)

// lost explains the end of a connection that could not be had again.
func lost(target string, linger time.Duration, e *shellhttp.LostError) error {
	if e.Gone {
		return fmt.Errorf("the session on %s is gone: the agent was restarted, or ended it while the connection was lost (%w)", target, e)
	}
	kept := "the session is hung up"
	if linger > 0 {
		kept = fmt.Sprintf("the session is hung up within %.0f s", linger.Seconds())
	}
	return fmt.Errorf("the connection to %s is lost, %s: %w", target, kept, e)
}
