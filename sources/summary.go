package sources

import (
	"context"
	"maps"
	"slices"
	"time"

	"shellagent/shell"
)

// Summary is what a policy comes down to, source by source.
type Summary struct {
	Sources  []SourceSummary `json:"sources"`
	Warnings []string        `json:"warnings,omitempty"`
}

// SourceSummary is one source and whom it lets in.
type SourceSummary struct {
	Name string `json:"name"`
	// User is a name or "$subject", Group "" for the user's primary one.
	User  string `json:"user"`
	Group string `json:"group,omitempty"`
	// Shell is the login shell or the list; empty for the user's own.
	Shell []string `json:"shell,omitempty"`
	// Allow is what may be asked of it.
	Allow []shell.Action `json:"allow"`
	// Files is what sftp may do, where Allow has it.
	Files *FilesSummary `json:"sftp,omitempty"`
	// Forward is what may be forwarded, where Allow has it.
	Forward *ForwardSummary `json:"forward,omitempty"`
	// Commands are the patterns that alone may be run; nil means any.
	Commands     []string `json:"commands,omitempty"`
	ForceCommand []string `json:"forceCommand,omitempty"`
	AcceptEnv    []string `json:"acceptEnv,omitempty"`
	// Banner is what clients show before a session begins.
	Banner string   `json:"banner,omitempty"`
	Rules  []string `json:"jwtRules,omitempty"`
	// VerifyCommands may let in who is not in Keys.
	VerifyCommands [][]string   `json:"verifyCommands,omitempty"`
	Limits         LimitSummary `json:"limits"`
	// Record is nil when sessions are not recorded.
	Record *RecordSummary `json:"record,omitempty"`
	Drain  *DrainSummary  `json:"drain,omitempty"`
	// WatchQuietly: sessions are not told that they are watched.
	WatchQuietly bool              `json:"watchQuietly,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	LabelClaims  []string          `json:"labelClaims,omitempty"`
	Keys         []KeySummary      `json:"keys"`
}

// LimitSummary is [shell.Limits] as a configuration writes it; a time span that
// is left out is no limit.
type LimitSummary struct {
	MaxSessions int `json:"maxSessions"`
	// MaxProcesses is 0 for the default.
	MaxProcesses int    `json:"maxProcesses,omitempty"`
	IdleTimeout  string `json:"idleTimeout,omitempty"`
	MaxDuration  string `json:"maxDuration,omitempty"`
	Linger       string `json:"linger"`
	KillOnExit   bool   `json:"killOnExit"`
}

// FilesSummary is what may be done with files.
type FilesSummary struct {
	ReadOnly bool `json:"readOnly"`
	// Paths is nil for all that the user may touch.
	Paths []string `json:"paths,omitempty"`
	// Text says the same in words.
	Text string `json:"-"`
}

// ForwardSummary is what may be forwarded, as a configuration writes it.
type ForwardSummary struct {
	Local  []string `json:"local,omitempty"`
	Remote []string `json:"remote,omitempty"`
	Agent  bool     `json:"agent,omitempty"`
	// Text says the same in words.
	Text string `json:"-"`
}

func summarizeForward(f shell.Forward) *ForwardSummary {
	sum := &ForwardSummary{Agent: f.Agent, Text: forwardText(f)}
	for _, d := range f.Local {
		sum.Local = append(sum.Local, d.String())
	}
	for _, d := range f.Remote {
		sum.Remote = append(sum.Remote, d.String())
	}
	return sum
}

func summarizeLimits(l shell.Limits) LimitSummary {
	sum := LimitSummary{MaxSessions: l.MaxSessions, MaxProcesses: l.MaxProcesses, Linger: l.Linger.String(), KillOnExit: l.KillOnExit}
	if l.IdleTimeout > 0 {
		sum.IdleTimeout = l.IdleTimeout.String()
	}
	if l.MaxDuration > 0 {
		sum.MaxDuration = l.MaxDuration.String()
	}
	return sum
}

// KeySummary is one key of a source.
type KeySummary struct {
	Subject    string `json:"subject,omitempty"`
	Email      string `json:"email,omitempty"`
	Label      string `json:"label,omitempty"`
	Thumbprint string `json:"thumbprint"`
	// Fingerprint is OpenSSH's.
	Fingerprint string    `json:"fingerprint"`
	Where       string    `json:"where"`
	From        []string  `json:"from,omitempty"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
	// User is whom the key would run as now; "" when it is refused.
	User string `json:"user,omitempty"`
	// Refused says why the key would open nothing now, as far as that is known
	// without its address and claims; "" when it would.
	Refused string `json:"refused,omitempty"`
}

// Summary tells what every listed key may do at the given time.
func (p *Policy) Summary(ctx context.Context, now time.Time) Summary {
	sum := Summary{Warnings: p.Warnings()}
	for _, name := range p.names {
		sum.Sources = append(sum.Sources, p.summarize(ctx, p.sources[name], now))
	}
	return sum
}

func (p *Policy) summarize(ctx context.Context, s *source, now time.Time) SourceSummary {
	sum := SourceSummary{
		Name: s.name, User: s.user, Group: s.group, Limits: summarizeLimits(s.limits), Keys: []KeySummary{},
		Shell: s.shell.words(), ForceCommand: s.force.words(), AcceptEnv: slices.Clone(s.acceptEnv),
		Allow: append([]shell.Action{}, s.allow...), Banner: s.banner,
		Record: summarizeRecord(s.record, s.keep), Drain: summarizeDrain(s.drain), Labels: maps.Clone(s.labels), LabelClaims: slices.Clone(s.labelClaims), WatchQuietly: s.quiet,
	}
	if slices.Contains(s.allow, shell.ActionSFTP) {
		sum.Files = &FilesSummary{s.files.ReadOnly, slices.Clone(s.files.Paths), filesText(s.files)}
	}
	if slices.Contains(s.allow, shell.ActionForward) {
		sum.Forward = summarizeForward(s.forward)
	}
	if sum.User == "" {
		sum.User = p.self.Name
	}
	for _, c := range s.commands {
		sum.Commands = append(sum.Commands, c.String())
	}
	if s.listed && sum.Commands == nil {
		sum.Commands = []string{}
	}
	for _, r := range s.rules {
		sum.Rules = append(sum.Rules, r.text)
	}
	for _, v := range s.vouchers {
		sum.VerifyCommands = append(sum.VerifyCommands, slices.Clone(v.command))
	}
	for _, e := range s.entries() {
		sum.Keys = append(sum.Keys, p.summarizeKey(ctx, s, e, now))
	}
	return sum
}

func (p Program) words() []string {
	if p.Line != "" {
		return []string{p.Line}
	}
	return slices.Clone(p.Argv)
}

// entries returns the source's keys by subject and place.
func (s *source) entries() []*entry {
	all := make([]*entry, 0, len(s.ring))
	for _, e := range s.ring {
		all = append(all, e)
	}
	slices.SortFunc(all, compareEntries)
	return all
}

func (p *Policy) summarizeKey(ctx context.Context, s *source, e *entry, now time.Time) KeySummary {
	k := KeySummary{
		Subject: e.subject, Email: e.email, Label: e.label, Thumbprint: e.thumb, Fingerprint: e.key.OpenSSHFingerprint(),
		Where: e.where, NotAfter: e.notAfter,
	}
	for _, n := range e.from {
		k.From = append(k.From, n.String())
	}
	d := decision{policy: p, explain: true, request: Request{Source: s.name, Key: e.key, Now: now}}
	for _, step := range steps {
		_, denied := step.ask(&d, ctx)
		// What may be asked, and which commands there are, is told per source.
		if denied != nil && denied.Reason != shell.ReasonCommand && denied.Reason != shell.ReasonAction {
			k.Refused = denied.Error()
			return k
		}
		if denied != nil {
			break
		}
	}
	k.User = d.user.Name
	return k
}
