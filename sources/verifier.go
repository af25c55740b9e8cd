package sources

import (
	"shellagent/jwtauth/command"
	"shellagent/shell"
)

var _ verifier = (*command.Verifier)(nil)

// newVerifier makes what asks one verify command.
func (b *builder) newVerifier(argv []string, who shell.Credential) (verifier, error) {
	if b.options.newVerifier != nil {
		return b.options.newVerifier(argv, who)
	}
	v := &command.Verifier{Argv: argv}
	if b.policy.root() {
		v.User = &command.Credential{UID: who.UID, GID: who.GID, Groups: who.Groups}
	}
	if err := v.Check(); err != nil {
		return nil, err
	}
	return v, nil
}
