package sources

import (
	"context"
	"errors"
	"fmt"

	"shellagent/account"
	"shellagent/shell"
)

// askUser resolves whom the program runs as into numbers.
func (d *decision) askUser(ctx context.Context) (string, *shell.Denied) {
	name, denied := d.userName()
	if denied != nil {
		return "", denied
	}
	accounts := d.policy.accounts
	u, err := accounts.Lookup(ctx, name)
	if err != nil {
		return noUser(name, err)
	}
	if denied := d.checkSubjectUser(u); denied != nil {
		return "", denied
	}
	state, err := accounts.Status(ctx, name)
	switch {
	case err != nil:
		return noUser(name, err)
	case state.Locked:
		return deny(shell.ReasonUser, "the user %q is locked; usermod -U %s unlocks it", name, name)
	case state.Expired:
		return deny(shell.ReasonUser, "the account of the user %q has expired; see chage -l %s", name, name)
	}
	group, denied := d.group(ctx, u)
	if denied != nil {
		return "", denied
	}
	groups, err := accounts.Groups(ctx, name, group.GID)
	if err != nil {
		return noUser(name, err)
	}
	d.user = u
	d.grant.Credential = shell.Credential{
		User: u.Name, Group: group.Name, UID: u.UID, GID: group.GID, Groups: groups, Home: u.Home,
	}
	return d.say("runs as %s (uid %d), group %d, groups %v", u.Name, u.UID, group.GID, groups), nil
}

// userName is whom the source names.
func (d *decision) userName() (string, *shell.Denied) {
	switch s := d.source; {
	case s.user == "":
		return d.policy.self.Name, nil
	case s.user != SubjectUser:
		return s.user, nil
	case d.subject == "":
		return "", shell.Deny(shell.ReasonUser, fmt.Errorf("the source %q runs as the key's subject, and the key %s has none; list it as {\"subject\": \"NAME\", \"keys\": […]}", s.name, d.request.Key.Thumbprint()))
	}
	return d.subject, nil
}

// checkSubjectUser keeps a subject from being more than a person: root is never
// meant by "$subject", and what a verify command says reaches no account of a
// service.
func (d *decision) checkSubjectUser(u *account.User) *shell.Denied {
	if d.source.user != SubjectUser {
		return nil
	}
	if u.UID == 0 {
		return shell.Deny(shell.ReasonUser, fmt.Errorf("the subject %q is root; a source that runs as root names it as its user", d.subject))
	}
	if d.entry == nil && u.System() {
		return shell.Deny(shell.ReasonUser, fmt.Errorf("a verify command named the system account %q; list the key with its subject if that is meant", d.subject))
	}
	return nil
}

// group is the one the source names, or the user's primary one, whose name no
// decision needs.
func (d *decision) group(ctx context.Context, u *account.User) (account.Group, *shell.Denied) {
	if d.source.group == "" {
		return account.Group{GID: u.GID}, nil
	}
	g, err := d.policy.accounts.LookupGroup(ctx, d.source.group)
	if err != nil {
		_, denied := noUser(u.Name, err)
		return account.Group{}, denied
	}
	return g, nil
}

// noUser tells an account that is not there from a host that did not answer.
func noUser(name string, err error) (string, *shell.Denied) {
	if errors.Is(err, account.ErrUnknown) {
		return deny(shell.ReasonUser, "cannot run as %q: %w", name, err)
	}
	return deny(shell.ReasonLookup, "cannot look up %q: %w: %w", name, ErrUndecided, err)
}
