package cli

import (
	"os"

	"shellagent/jwtauth"
)

// newKeyFile writes a key without a passphrase, and its public half beside it.
func newKeyFile(path string) (*jwtauth.PrivateKey, error) {
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		return nil, err
	}
	text, err := key.MarshalOpenSSH("test", nil)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	return key, os.WriteFile(path+".pub", []byte(key.PublicKey().AuthorizedKey("test")+"\n"), 0o600)
}
