package sources

import (
	"context"
	"errors"
	"slices"

	"shellagent/account"
	"shellagent/config"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// Accounts is what policy asks of the host's users; errors wrap
// [account.ErrUnknown] for one that does not exist. It is asked on every
// decision, by several goroutines.
type Accounts interface {
	Self(ctx context.Context) (*account.User, error)
	Lookup(ctx context.Context, name string) (*account.User, error)
	LookupGroup(ctx context.Context, name string) (account.Group, error)
	Groups(ctx context.Context, name string, gid uint32) ([]uint32, error)
	Status(ctx context.Context, name string) (account.State, error)
	Shells() ([]string, error)
}

var _ Accounts = (*account.Directory)(nil)

// Options are what a policy needs besides its configuration.
type Options struct {
	// Dir is where relative paths of the configuration begin.
	Dir string
	// Accounts are the host's users; nil means [account.Host].
	Accounts Accounts

	// newVerifier replaces the programs of verifyCommands in tests.
	newVerifier func(argv []string, who shell.Credential) (verifier, error)
}

// Policy answers who may open what. It is immutable and safe for concurrent
// use: a changed configuration makes a new one.
type Policy struct {
	accounts Accounts
	self     account.User

	sources  map[string]*source
	names    []string
	keys     map[string]jwtauth.PublicKey
	subjects map[string]string
	revoked  revocations
	files    []string
	warnings []string
}

// New makes the policy of a configuration. It reads the key files that the
// configuration names and asks for its users. The error joins every mistake
// (errors.Join), each a [config.PointerError].
func New(c Config, o Options) (*Policy, error) {
	b := &builder{config: c, options: o, seen: make(map[string]bool)}
	p := &Policy{
		accounts: o.Accounts,
		sources:  make(map[string]*source, len(c.Sources)),
		keys:     make(map[string]jwtauth.PublicKey),
		subjects: make(map[string]string),
	}
	if p.accounts == nil {
		p.accounts = account.Host()
	}
	b.policy = p
	self, err := p.accounts.Self(context.Background())
	if err != nil {
		return nil, err
	}
	p.self = *self
	b.build()
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return p, nil
}

// builder collects mistakes, so that all are told at once.
type builder struct {
	config  Config
	options Options
	policy  *Policy
	errs    []error
	seen    map[string]bool
}

// bad records a mistake once: a global one is met again in every source.
func (b *builder) bad(pointer string, err error) {
	if err == nil || b.seen[pointer+" "+err.Error()] {
		return
	}
	b.seen[pointer+" "+err.Error()] = true
	b.errs = append(b.errs, config.Pointed(pointer, err))
}

func (b *builder) warn(text string) { b.policy.warnings = append(b.policy.warnings, text) }

func (b *builder) build() {
	global := b.globalEntries()
	b.revocations()
	rules := b.rules("/jwtRule", b.config.JWTRule, nil)
	commands := b.verifyCommands("/verifyCommands", b.config.VerifyCommands)
	for name := range b.config.Sources {
		b.policy.names = append(b.policy.names, name)
	}
	slices.Sort(b.policy.names)
	for _, name := range b.policy.names {
		b.policy.sources[name] = b.source(name, global, rules, commands)
	}
	b.checkGlobalExec()
}

// root reports whether the agent can become other users.
func (p *Policy) root() bool { return p.self.UID == 0 }

// Key returns the listed key with a thumbprint, wherever it is listed and
// whatever it may do, so that a refusal can say exactly why.
func (p *Policy) Key(kid string) (jwtauth.PublicKey, bool) {
	k, ok := p.keys[kid]
	return k, ok
}

// Subject returns whom the configuration says a listed key belongs to, or "".
func (p *Policy) Subject(kid string) string { return p.subjects[kid] }

// Sources returns the names of the sources in alphabetical order.
func (p *Policy) Sources() []string { return slices.Clone(p.names) }

// Subjects returns the configured subjects in alphabetical order.
func (p *Policy) Subjects() []string {
	var all []string
	for _, s := range p.subjects {
		if s != "" {
			all = append(all, s)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Files returns the files and directories whose change changes policy, besides
// the configuration itself.
func (p *Policy) Files() []string { return slices.Clone(p.files) }

// MaxSessions is how many live sessions all sources together allow.
func (p *Policy) MaxSessions() int {
	n := 0
	for _, s := range p.sources {
		n += s.limits.MaxSessions
	}
	return n
}

// Warnings returns what is not a mistake but deserves a look, a sentence each.
func (p *Policy) Warnings() []string { return slices.Clone(p.warnings) }
