package sources

import "shellagent/shell"

// newVerifier makes what asks one verify command.
func (b *builder) newVerifier(argv []string, who shell.Credential) (verifier, error) {
	return b.options.newVerifier(argv, who)
}
