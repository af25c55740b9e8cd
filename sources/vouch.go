package sources

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/config"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// VerifyCommand is a program that may vouch for keys that no list has. It is
// written as a list of arguments, or as an object.
//
// It is given the raw token on standard input, accepts it by exiting with 0, and
// prints claims in JSON: "key", the public key that signed the token as an
// OpenSSH line, and optionally "subject", whose key that is. It need not check
// the signature: the agent does that with the printed key, whose thumbprint has
// to be the token's kid. What else it prints is `verified` in a jwtRule. It
// cannot replace a claim of the token.
type VerifyCommand struct {
	// Command is what is run, by its absolute path and without a shell.
	Command []string `json:"command"`
	// User is whom it runs as; an agent that is root needs one.
	User string `json:"user"`
	// From are the addresses and networks for which it is asked at all; nil
	// means any. Asking costs a process, before anybody is known.
	From []string `json:"from"`
}

// UnmarshalJSONFrom reads a list or an object.
func (v *VerifyCommand) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '[':
		return json.UnmarshalDecode(d, &v.Command)
	case '{':
		type object VerifyCommand // without this method
		return json.UnmarshalDecode(d, (*object)(v))
	}
	return errors.New(`a verify command is a list or an object; write {"command": ["/usr/local/bin/verify"], "user": "nobody"}`)
}

// verifier asks one program about a token. Its claims are what the program
// printed; an error means that it did not accept.
type verifier interface {
	Verify(ctx context.Context, token string) (map[string]any, error)
}

// vouching is a [VerifyCommand] made ready to be asked.
type vouching struct {
	name     string // tells the command from others, over reloads
	command  []string
	user     string
	from     []netip.Prefix
	limited  bool
	verifier verifier
}

func (b *builder) verifyCommands(pointer string, list []VerifyCommand) []*vouching {
	var all []*vouching
	for i, c := range list {
		at := pointer + "/" + strconv.Itoa(i)
		if len(c.Command) == 0 || !filepath.IsAbs(c.Command[0]) {
			b.bad(at, errors.New("a verify command is named by its absolute path; begin it with /"))
			continue
		}
		// Who can change the program decides who gets in.
		if err := config.CheckPermissions(c.Command[0]); err != nil {
			b.bad(at, err)
			continue
		}
		user, err := b.verifyUser(c.User)
		if err != nil {
			b.bad(at, err)
			continue
		}
		from, errs := parseNetworks(at+"/from", c.From)
		for _, err := range errs {
			var p config.PointerError
			errors.As(err, &p)
			b.bad(p.Pointer(), err)
		}
		v, err := b.newVerifier(c.Command, user)
		if err != nil {
			b.bad(at, err)
			continue
		}
		all = append(all, &vouching{
			name: user.User + ": " + join(c.Command), command: slices.Clone(c.Command), user: user.User,
			from: from, limited: c.From != nil, verifier: v,
		})
	}
	return all
}

// verifyUser returns whom a verify command runs as.
func (b *builder) verifyUser(name string) (shell.Credential, error) {
	p := b.policy
	if name == SubjectUser || name == "" && p.root() {
		return shell.Credential{}, errors.New(`the command has no user of its own; write {"command": […], "user": "NAME"}`)
	}
	if err := b.checkUser(name); err != nil {
		return shell.Credential{}, err
	}
	if name == "" {
		name = p.self.Name
	}
	ctx := context.Background()
	u, err := p.accounts.Lookup(ctx, name)
	if err != nil {
		return shell.Credential{}, err
	}
	groups, err := p.accounts.Groups(ctx, name, u.GID)
	if err != nil {
		return shell.Credential{}, err
	}
	return shell.Credential{User: u.Name, UID: u.UID, GID: u.GID, Groups: groups, Home: u.Home}, nil
}

// Voucher is what a verify command said for a key that no list has. It is the
// caller's proof towards [Policy.Decide], valid for one source and one key.
type Voucher struct {
	Source  string
	Key     jwtauth.PublicKey
	Subject string // "" when the command named none
	// Claims are what the command printed.
	Claims map[string]any
	// command is who said it: it has to be configured still.
	command string
}

// Lists reports whether a key is listed for a source, so that no command is
// asked about it.
func (p *Policy) Lists(source, kid string) bool {
	s, ok := p.sources[source]
	return ok && s.ring[kid] != nil
}

// Vouches reports whether a source has verify commands to ask about a key that
// is not listed for it.
func (p *Policy) Vouches(source string) bool {
	s, ok := p.sources[source]
	return ok && len(s.vouchers) > 0
}

// UnknownKey asks the verify commands of a source, its own first, about a token
// whose kid no list has for that source ([Policy.Lists]). The key of the voucher
// has the thumbprint kid; nothing else of it is proven until the caller has
// verified the token's signature with it. The voucher then goes into [Request].
//
// The error is a *[shell.Denied]. It takes as long as the commands take, 3 s
// each at most, and is bounded in how many run at once.
func (p *Policy) UnknownKey(ctx context.Context, source, token, kid string, remote netip.Addr) (*Voucher, error) {
	s, ok := p.sources[source]
	switch {
	case !ok:
		return nil, shell.Deny(shell.ReasonUnknownSource, fmt.Errorf("there is no source %q", source))
	case p.revoked.thumbprints[kid]:
		return nil, shell.Deny(shell.ReasonKeyRevoked, fmt.Errorf("the key %s is revoked", kid))
	case len(s.vouchers) == 0:
		return nil, shell.Deny(p.unlisted(kid), fmt.Errorf("no list for the source %q has the key %s", source, kid))
	}
	var refusals []error
	for _, v := range s.vouchers {
		if v.limited && !within(v.from, remote) {
			refusals = append(refusals, fmt.Errorf("%s is not asked about %v", v.command[0], remote))
			continue
		}
		voucher, err := v.vouch(ctx, token, kid)
		if err == nil {
			err = p.checkVoucher(voucher)
		}
		if err == nil {
			voucher.Source = source
			return voucher, nil
		}
		refusals = append(refusals, fmt.Errorf("%s: %w", v.command[0], err))
	}
	return nil, shell.Deny(shell.ReasonVerifyCommand, errors.Join(refusals...))
}

// unlisted is the reason for a key that is not listed for a source.
func (p *Policy) unlisted(kid string) shell.Reason {
	if _, ok := p.keys[kid]; ok {
		return shell.ReasonSourceKey
	}
	return shell.ReasonUnknownKey
}

func (v *vouching) vouch(ctx context.Context, token, kid string) (*Voucher, error) {
	claims, err := v.verifier.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	line, ok := claims["key"].(string)
	if !ok {
		return nil, errors.New(`printed no "key"; print the public key that signed the token`)
	}
	key, _, err := jwtauth.ParsePublicKey(line)
	if err != nil {
		return nil, fmt.Errorf("printed a key that is none: %w", err)
	}
	if key.Thumbprint() != kid {
		return nil, fmt.Errorf("printed the key %s, but the token names %s", key.Thumbprint(), kid)
	}
	subject := ""
	if value, given := claims["subject"]; given {
		subject, ok = value.(string)
		if !ok {
			return nil, errors.New("printed a subject that is not a string")
		}
		if err := checkSubject(subject); err != nil {
			return nil, err
		}
	}
	return &Voucher{Key: key, Subject: subject, Claims: claims, command: v.name}, nil
}

// checkVoucher keeps commands from contradicting the configuration.
func (p *Policy) checkVoucher(v *Voucher) error {
	kid := v.Key.Thumbprint()
	if p.revoked.has(v.Key) {
		return fmt.Errorf("vouched for the revoked key %s", kid)
	}
	if subject := p.subjects[kid]; subject != "" && subject != v.Subject {
		return fmt.Errorf("said that the key %s stands for %s, but it is configured for %q", kid, subjectText(v.Subject), subject)
	}
	return nil
}

// vouched reports whether a voucher holds here: for this source and key, from a
// command that is still configured.
func (s *source) vouched(v *Voucher, key jwtauth.PublicKey) bool {
	return v != nil && v.Source == s.name && v.Key.Equal(key) &&
		slices.ContainsFunc(s.vouchers, func(c *vouching) bool { return c.name == v.command })
}
