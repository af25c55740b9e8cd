package sources

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"shellagent/account"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// Request is what policy is asked. Key has to be proven: the caller verified the
// token's signature with it.
type Request struct {
	Source string
	Key    jwtauth.PublicKey
	// Vouched is set for a key that no list has for the source; see
	// [Policy.UnknownKey].
	Vouched *Voucher
	// Claims are the token's, as they were decoded for all other checks. They
	// are not changed.
	Claims map[string]any
	Remote netip.Addr
	Now    time.Time
	Open   shell.OpenRequest
	// Again says that a live session is asked about under a new policy. What
	// was there at its start, the shell's file, is not looked for again.
	Again bool
	// AgentSocket says whether a path is the socket of a live session of forwards of
	// a key and user, which SSH_AUTH_SOCK may then name; nil means that none is.
	AgentSocket func(kid string, uid uint32, path string) bool
}

// ErrUndecided is wrapped by a denial that says nothing of the configuration or
// the account: the host's database did not answer. A live session should not
// end for it.
var ErrUndecided = errors.New("the host's user database did not answer")

// Decide returns what q gets. The error is a *[shell.Denied]. It asks the host
// for users, which is remembered for a while, and may take seconds when a
// directory server is away. It runs no verify commands.
func (p *Policy) Decide(ctx context.Context, q Request) (shell.Grant, error) {
	d := decision{policy: p, request: q}
	for _, step := range steps {
		if _, denied := step.ask(&d, ctx); denied != nil {
			return shell.Grant{}, denied
		}
	}
	return d.grant, nil
}

// step is one thing that has to hold. The detail says what was found, and is
// only made for an explanation.
type step struct {
	name string
	ask  func(*decision, context.Context) (detail string, denied *shell.Denied)
}

// steps are asked in this order. What a stranger could learn something from
// comes before everything that tells more than "no".
var steps = []step{
	{"source", (*decision).askSource},
	{"revocation", (*decision).askRevocation},
	{"key", (*decision).askKey},
	{"expiry", (*decision).askExpiry},
	{"address", (*decision).askAddress},
	{"rule", (*decision).askRules},
	{"request", (*decision).askRequest},
	{"user", (*decision).askUser},
	{"action", (*decision).askAction},
	{"command", (*decision).askCommand},
	{"environment", (*decision).askEnvironment},
}

// decision is one request on its way through the steps.
type decision struct {
	policy  *Policy
	request Request
	// explain asks for details, and lets what is not known yet (the address,
	// the claims) pass with a word about it.
	explain bool

	source  *source
	entry   *entry // nil for a key that was vouched for
	subject string
	user    *account.User
	shell   string // what SHELL will say
	// original is the command that forceCommand replaced.
	original string
	grant    shell.Grant
}

// say makes a detail, if anybody will read it.
func (d *decision) say(format string, args ...any) string {
	if !d.explain {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func deny(reason shell.Reason, format string, args ...any) (string, *shell.Denied) {
	return "", shell.Deny(reason, fmt.Errorf(format, args...))
}

func (d *decision) askSource(context.Context) (string, *shell.Denied) {
	s, ok := d.policy.sources[d.request.Source]
	if !ok {
		return deny(shell.ReasonUnknownSource, "there is no source %q", d.request.Source)
	}
	d.source = s
	return d.say("the source %q is configured", s.name), nil
}

func (d *decision) askRevocation(context.Context) (string, *shell.Denied) {
	if d.policy.revoked.has(d.request.Key) {
		return deny(shell.ReasonKeyRevoked, "the key %s is revoked", d.request.Key.Thumbprint())
	}
	return d.say("the key is not revoked"), nil
}

func (d *decision) askKey(context.Context) (string, *shell.Denied) {
	s, key := d.source, d.request.Key
	kid := key.Thumbprint()
	if e := s.ring[kid]; e != nil && e.key.Equal(key) {
		d.entry, d.subject = e, e.subject
		d.grant.Label = e.label
		return d.say("listed at %s, %s", e.where, subjectOr(e.subject)), nil
	}
	if v := d.request.Vouched; s.vouched(v, key) {
		if err := d.policy.checkVoucher(v); err != nil {
			return deny(shell.ReasonVerifyCommand, "%w", err)
		}
		d.subject = v.Subject
		return d.say("vouched for by %s, %s", v.command, subjectOr(v.Subject)), nil
	}
	if d.request.Vouched != nil {
		return deny(shell.ReasonVerifyCommand, "the verify command that vouched for the key %s is not configured for the source %q", kid, s.name)
	}
	hint := ""
	if len(s.vouchers) > 0 {
		hint = "; its verify commands would be asked"
	}
	return deny(d.policy.unlisted(kid), "no list for the source %q has the key %s%s", s.name, kid, hint)
}

func subjectOr(subject string) string {
	if subject == "" {
		return "without a subject"
	}
	return "subject " + subject
}

func (d *decision) askExpiry(context.Context) (string, *shell.Denied) {
	e := d.entry
	if e == nil || e.notAfter.IsZero() {
		return d.say("the key has no end"), nil
	}
	if e.expired(d.request.Now) {
		return deny(shell.ReasonKeyExpired, "the key %s was good until %s", e.thumb, e.notAfter.Format(time.RFC3339))
	}
	return d.say("the key is good until %s", e.notAfter.Format(time.RFC3339)), nil
}

func (d *decision) askAddress(context.Context) (string, *shell.Denied) {
	e := d.entry
	if e == nil || !e.limited {
		return d.say("the key may come from any address"), nil
	}
	if d.explain && !d.request.Remote.IsValid() {
		return d.say("depends on the address: the key may come from %v", e.from), nil
	}
	if !e.allows(d.request.Remote) {
		return deny(shell.ReasonKeyAddress, "the key %s may not come from %v", e.thumb, d.request.Remote)
	}
	return d.say("the key may come from %v", d.request.Remote), nil
}

func (d *decision) askRules(context.Context) (string, *shell.Denied) {
	if len(d.source.rules) == 0 {
		return d.say("there is no jwtRule"), nil
	}
	if d.explain && d.request.Claims == nil {
		return d.say("depends on the token's claims: %s", ruleTexts(d.source.rules)), nil
	}
	env := d.ruleEnv()
	for _, r := range d.source.rules {
		held, err := r.holds(env)
		if err != nil {
			return deny(shell.ReasonRule, "jwtRule %q: %w", r.text, err)
		}
		if !held {
			return deny(shell.ReasonRule, "jwtRule %q does not hold", r.text)
		}
	}
	return d.say("holds: %s", ruleTexts(d.source.rules)), nil
}

func ruleTexts(rules []*rule) string {
	texts := make([]string, len(rules))
	for i, r := range rules {
		texts[i] = r.text
	}
	return strings.Join(texts, " and ")
}

func (d *decision) ruleEnv() ruleEnv {
	q := &d.request
	env := ruleEnv{
		Claims: q.Claims, Verified: map[string]any{}, Source: d.source.name, Key: q.Key.Thumbprint(), Subject: d.subject,
		Now: q.Now, Action: string(q.Open.Action()), Command: commandText(q.Open), Argv: q.Open.Argv, Terminal: q.Open.Terminal != nil,
	}
	if env.Claims == nil {
		env.Claims = map[string]any{}
	}
	if d.entry == nil && q.Vouched != nil {
		env.Verified = q.Vouched.Claims
	}
	if q.Remote.IsValid() {
		env.Remote = q.Remote.Unmap().String()
	}
	return env
}

// commandText is what was asked for as one string; "" is a shell.
func commandText(open shell.OpenRequest) string {
	if len(open.Argv) > 0 {
		return join(open.Argv)
	}
	return open.Command + open.Subsystem
}

func (d *decision) askRequest(context.Context) (string, *shell.Denied) {
	if err := d.request.Open.Validate(); err != nil {
		return "", shell.Deny(shell.ReasonOpenRequest, err)
	}
	return d.say("the request is well formed"), nil
}

func (d *decision) askEnvironment(context.Context) (string, *shell.Denied) {
	s, g := d.source, &d.grant
	taken, dropped := s.accepted(d.request.Open.Env)
	dropped = d.acceptAgent(taken, dropped)
	if g.Files != nil || g.Forward != nil {
		taken = nil // what serves files is no program of the client's choice
	}
	g.Env = s.environment(d.user, d.shell, taken, d.request.Open)
	if d.original != "" {
		g.Env = append(g.Env, "SHELLAGENT_ORIGINAL_COMMAND="+d.original, "SSH_ORIGINAL_COMMAND="+d.original)
	}
	g.Dir = s.dir
	if g.Dir == "" {
		g.Dir = d.user.Home
	}
	g.Source, g.Subject, g.Key, g.Limits = s.name, d.subject, d.request.Key.Thumbprint(), s.limits
	g.Cover, g.Banner, g.WatchQuietly = s.cover, s.banner, s.quiet
	d.label()
	if len(dropped) > 0 {
		return d.say("starts in %s; not accepted from the client: %s", g.Dir, strings.Join(dropped, " ")), nil
	}
	return d.say("starts in %s", g.Dir), nil
}
