package sources

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"shellagent/account"
	"shellagent/config"
	"shellagent/shell"
)

// source is a [Source] made ready to be asked. It is immutable.
type source struct {
	name  string
	user  string // a name, SubjectUser, or "" for the agent's own
	group string // "" for the user's primary one
	dir   string
	env   map[string]string
	// inherited is what envInherit takes from the agent.
	inherited map[string]string

	shell, force Program
	// listed says that commands are all that may be run.
	listed    bool
	commands  []pattern
	acceptEnv []string
	allow     []shell.Action
	// servesFiles says that sftp is allowed by name, and not for want of an allow.
	servesFiles bool
	files       shell.Files
	forward     shell.Forward
	banner      string

	ring     map[string]*entry
	vouchers []*vouching
	rules    []*rule
	limits   shell.Limits
	cover    string // as [shell.Grant] has it
	quiet    bool   // who watches is not announced

	record      *shell.Record // nil: not recorded
	keep        Keep
	drain       *shell.Drain // nil: output goes nowhere
	labels      map[string]string
	labelClaims []string
}

// nameForm is what needs no escaping in a path, so that no proxy rewrites it.
var nameForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9._-]{1,64}$`) })

// checkSourceName refuses also the two names that paths give a meaning to.
func checkSourceName(name string) error {
	if !nameForm().MatchString(name) || name == "." || name == ".." {
		return fmt.Errorf("%q cannot name a source; use 1 to 64 of a-z 0-9 . _ -", name)
	}
	return nil
}

// source compiles one source with the global entries, rules and commands.
func (b *builder) source(name string, global []named, rules []*rule, commands []*vouching) *source {
	c := b.config.Sources[name]
	at := func(tokens ...string) string {
		return config.Pointer(append([]string{"sources", name}, tokens...)...)
	}
	b.bad(at(), checkSourceName(name))
	s := &source{
		name: name, shell: c.Shell, force: c.ForceCommand, listed: c.Commands != nil,
		ring:  b.ring(name, c, global),
		quiet: c.AnnounceWatch != nil && !*c.AnnounceWatch,
		rules: b.rules(at("jwtRule"), c.JWTRule, rules),
	}
	s.vouchers = b.verifyCommands(at("verifyCommands"), c.VerifyCommands)
	if c.VerifyCommands == nil || len(c.VerifyCommands) > 0 {
		s.vouchers = append(s.vouchers[:len(s.vouchers):len(s.vouchers)], commands...)
	}
	b.exec(s, c.Exec, at)
	if s.shell.Line != "" && !filepath.IsAbs(s.shell.Line) {
		b.bad(at("shell"), fmt.Errorf("shell %q is not an absolute path; write /bin/%s, or a list to search PATH", s.shell.Line, filepath.Base(s.shell.Line)))
	}
	for i, p := range c.Commands {
		made, err := newPattern(p)
		b.bad(at("commands", strconv.Itoa(i)), err)
		s.commands = append(s.commands, made)
	}
	if s.listed && !s.force.IsZero() {
		b.bad(at("forceCommand"), errors.New("forceCommand runs whatever is asked for, so commands would allow nothing; keep one of the two"))
	}
	s.acceptEnv = defaultAcceptEnv
	if c.AcceptEnv != nil {
		s.acceptEnv = append([]string(nil), c.AcceptEnv...)
	}
	for i, p := range c.AcceptEnv {
		b.bad(at("acceptEnv", strconv.Itoa(i)), checkAcceptPattern(p))
	}
	b.allow(s, c, at)
	b.banner(s, c.Banner, at)
	b.limits(s, c, at)
	b.record(s, c.Record, at)
	b.drain(s, c.Drain, at)
	b.warnUnseen(s)
	b.labels(s, c, at)
	if len(s.ring) == 0 && len(s.vouchers) == 0 {
		b.warn(fmt.Sprintf("source %q lets nobody in: no key and no verifyCommand opens it", name))
	}
	return s
}

func (b *builder) rules(pointer, text string, global []*rule) []*rule {
	rules := append([]*rule(nil), global...)
	if text == "" {
		return rules
	}
	r, err := newRule(text)
	if err != nil {
		b.bad(pointer, err)
		return rules
	}
	return append(rules, r)
}

// limits checks and sets what bounds a session.
func (b *builder) limits(s *source, c Source, at func(...string) string) {
	const (
		mostSessions  = 100_000
		mostProcesses = 4 << 20 // PID_MAX_LIMIT of linux/threads.h
	)
	s.limits = shell.Limits{
		MaxSessions: DefaultMaxSessions, Linger: DefaultLinger, KillOnExit: true,
		IdleTimeout: c.IdleTimeout, MaxDuration: c.MaxDuration,
	}
	switch c.Cover {
	case "", shell.CoverOffered:
		s.cover = shell.CoverOffered
	case shell.CoverRequired:
		s.cover = c.Cover
	case "off":
	default:
		b.bad(at("cover"), fmt.Errorf(`cover is %q; use "on", "off" or "required"`, c.Cover))
	}
	if n := c.MaxSessions; n != nil {
		s.limits.MaxSessions = *n
		if *n < 1 || *n > mostSessions {
			b.bad(at("maxSessions"), fmt.Errorf("maxSessions is %d; use 1 to %d, or remove the source", *n, mostSessions))
		}
	}
	if n := c.MaxProcesses; n != nil {
		s.limits.MaxProcesses = *n
		if *n < 1 || *n > mostProcesses {
			b.bad(at("maxProcesses"), fmt.Errorf("maxProcesses is %d; use 1 to %d, or leave it out for the default", *n, mostProcesses))
		}
	}
	if c.Linger != nil {
		s.limits.Linger = *c.Linger
	}
	if c.KillOnExit != nil {
		s.limits.KillOnExit = *c.KillOnExit
	}
	for key, d := range map[string]time.Duration{"idleTimeout": c.IdleTimeout, "maxDuration": c.MaxDuration, "linger": s.limits.Linger} {
		if d < 0 {
			b.bad(at(key), fmt.Errorf("%s is negative; use a time span such as %q", key, "15m"))
		}
	}
}

// exec merges the global exec with the source's and checks what is left.
func (b *builder) exec(s *source, own Exec, at func(...string) string) {
	global := b.config.Exec
	pick := func(key, mine, theirs string) (value, pointer string) {
		if mine != "" {
			return mine, at("exec", key)
		}
		return theirs, config.Pointer("exec", key)
	}
	var userAt, groupAt, dirAt string
	s.user, userAt = pick("user", own.User, global.User)
	s.group, groupAt = pick("group", own.Group, global.Group)
	s.dir, dirAt = pick("workDir", own.WorkDir, global.WorkDir)
	if s.user == "" {
		userAt = at()
	}
	b.bad(userAt, b.checkUser(s.user))
	if s.group != "" {
		b.bad(groupAt, b.checkGroup(s.group))
	}
	if s.dir != "" && !filepath.IsAbs(s.dir) {
		b.bad(dirAt, fmt.Errorf("workDir %q is not an absolute path; begin it with /, or leave it out for the user's home", s.dir))
	}
	inherit := global.EnvInherit
	if own.EnvInherit != nil {
		inherit = own.EnvInherit
	}
	if inherit != nil && *inherit {
		s.inherited = inheritable()
	}
	s.env = make(map[string]string, len(global.Env)+len(own.Env))
	maps.Copy(s.env, global.Env)
	maps.Copy(s.env, own.Env)
	for name, value := range own.Env {
		b.bad(at("exec", "env", name), checkVariable(name, value))
	}
}

// checkGlobalExec checks what exec does not look at per source.
func (b *builder) checkGlobalExec() {
	for name, value := range b.config.Exec.Env {
		b.bad(config.Pointer("exec", "env", name), checkVariable(name, value))
	}
}

// checkUser judges whom a source runs as. A host that does not answer is no
// mistake of the configuration: a directory server that is away at boot must not
// lock everybody out.
func (b *builder) checkUser(name string) error {
	p := b.policy
	switch {
	case !p.root() && name != "" && name != p.self.Name:
		return fmt.Errorf("the agent runs as %q and can start programs as nobody else; remove the user %q, or run the agent as root", p.self.Name, name)
	case !p.root():
		return nil
	case name == "":
		return errors.New(`the source has no user; add "exec": {"user": "NAME"}, or "root" if that is meant`)
	case name == SubjectUser:
		return nil
	}
	_, err := p.accounts.Lookup(context.Background(), name)
	if errors.Is(err, account.ErrUnknown) {
		return fmt.Errorf("%w; create the user or correct the name", err)
	}
	if err != nil {
		b.warn(err.Error())
	}
	return nil
}

func (b *builder) checkGroup(name string) error {
	p := b.policy
	g, err := p.accounts.LookupGroup(context.Background(), name)
	switch {
	case errors.Is(err, account.ErrUnknown):
		return fmt.Errorf("%w; create the group or correct the name", err)
	case err != nil:
		b.warn(err.Error())
	case !p.root() && g.GID != p.self.GID:
		return fmt.Errorf("the agent runs with group %d and can give no other; remove the group %q, or run the agent as root", p.self.GID, name)
	}
	return nil
}
