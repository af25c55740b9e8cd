package targets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"shellagent/jwtauth"
	"shellagent/jwtauth/command"
)

// ErrNoIdentity says that there is no key to sign with.
var ErrNoIdentity = errors.New("no key to sign with")

// Identity is a key that signs for the person.
type Identity struct {
	Signer jwtauth.Signer
	// Label says where the key is, for messages: a file, or its comment in ssh-agent.
	Label string
}

// IdentityOptions say where to look for keys.
type IdentityOptions struct {
	// File is a private key, or a public one whose private half ssh-agent has.
	// When empty the configuration decides, and without one there ssh-agent.
	File   string
	Config *Config
	// AgentSocket is ssh-agent's (SSH_AUTH_SOCK), or empty.
	AgentSocket string
	// Passphrase asks for the passphrase of a key file. nil means that nobody is
	// there to be asked.
	Passphrase func(path string) ([]byte, error)
	// Stderr gets what signing commands say ("touch the token"). nil keeps it
	// for errors.
	Stderr io.Writer
}

// Identities returns the keys to try, in order: at least one, and more than
// one only from ssh-agent and signingCommands.
func Identities(ctx context.Context, o IdentityOptions) ([]Identity, error) {
	switch {
	case o.File != "":
		return o.fromFile(ctx, o.File)
	case o.Config.SigningKeyPath != "":
		return o.fromFile(ctx, o.Config.SigningKeyPath)
	case len(o.Config.SigningCommands) > 0:
		return o.fromCommands()
	}
	if o.AgentSocket == "" {
		return nil, fmt.Errorf("%w: name one with -i, set signingKeyPath, or start ssh-agent", ErrNoIdentity)
	}
	found, err := fromAgent(ctx, o.AgentSocket)
	if err != nil {
		return nil, fmt.Errorf("%w: ssh-agent: %v", ErrNoIdentity, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: ssh-agent has none that can be used (Ed25519, ECDSA P-256, RSA of 3072 bits)", ErrNoIdentity)
	}
	return found, nil
}

// Stamp tells apart what [Identities] would find: it changes with the files, and
// with the agent or the commands that would be asked. Nothing of a key is in it.
func (o IdentityOptions) Stamp() []string {
	files := []string{o.File, o.File + ".pub"}
	stamp := []string{"agent", o.AgentSocket}
	switch {
	case o.File != "":
	case o.Config.SigningKeyPath != "":
		files = []string{o.Config.SigningKeyPath, o.Config.SigningKeyPath + ".pub"}
	default:
		files = nil
		for _, c := range o.Config.SigningCommands {
			stamp = append(append(stamp, "command", c.Key), c.Command...)
		}
	}
	for _, path := range files {
		stamp = append(stamp, "file", path)
		if info, err := os.Stat(path); err == nil {
			stamp = append(stamp, fmt.Sprint(info.Size(), info.ModTime().UnixNano()))
		}
	}
	return stamp
}

func (o IdentityOptions) fromFile(ctx context.Context, path string) ([]Identity, error) {
	if strings.HasSuffix(path, ".pub") {
		return o.byPublicFile(ctx, path)
	}
	key, err := jwtauth.LoadPrivateKey(path, nil)
	if errors.Is(err, jwtauth.ErrPassphrase) {
		// A key that ssh-agent has unlocked needs no passphrase.
		if found, err := o.byPublicFile(ctx, path+".pub"); err == nil {
			return found, nil
		}
		if o.Passphrase == nil {
			return nil, fmt.Errorf("%s is encrypted, and nobody is there to be asked for its passphrase: add it to ssh-agent (ssh-add %s)", path, path)
		}
		key, err = jwtauth.LoadPrivateKey(path, o.Passphrase)
	}
	if err != nil {
		return nil, err
	}
	return []Identity{{Signer: key, Label: path}}, nil
}

// byPublicFile finds the private half of a public key file in ssh-agent.
func (o IdentityOptions) byPublicFile(ctx context.Context, path string) ([]Identity, error) {
	public, err := ReadPublicKey(path)
	if err != nil {
		return nil, err
	}
	if o.AgentSocket == "" {
		return nil, fmt.Errorf("%s is a public key, and there is no ssh-agent (SSH_AUTH_SOCK) that could have its private half", path)
	}
	found, err := fromAgent(ctx, o.AgentSocket)
	if err != nil {
		return nil, fmt.Errorf("ssh-agent: %w", err)
	}
	for _, identity := range found {
		if identity.Signer.PublicKey().Equal(public) {
			return []Identity{identity}, nil
		}
	}
	return nil, fmt.Errorf("%s is a public key whose private half ssh-agent does not have: add it with ssh-add", path)
}

func fromAgent(ctx context.Context, socket string) ([]Identity, error) {
	signers, labels, err := jwtauth.AgentSigners(ctx, socket)
	if err != nil {
		return nil, err
	}
	found := make([]Identity, 0, len(signers))
	for i, signer := range signers {
		found = append(found, Identity{Signer: signer, Label: labels[i]})
	}
	return found, nil
}

func (o IdentityOptions) fromCommands() ([]Identity, error) {
	found := make([]Identity, 0, len(o.Config.SigningCommands))
	for _, c := range o.Config.SigningCommands {
		key, _, err := jwtauth.ParsePublicKey(c.Key)
		if err != nil {
			return nil, fmt.Errorf("signingCommands: key of %s: %w", c.Command[0], err)
		}
		found = append(found, Identity{
			Signer: command.Signer{Argv: c.Command, Key: key, Stderr: o.Stderr},
			Label:  filepath.Base(c.Command[0]),
		})
	}
	return found, nil
}

// maxPublicKey bounds a public key file, in bytes.
const maxPublicKey = 16 << 10

// ReadPublicKey reads a file of one public key. Empty lines and comments may
// stand around it.
func ReadPublicKey(path string) (jwtauth.PublicKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return jwtauth.PublicKey{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPublicKey {
		return jwtauth.PublicKey{}, fmt.Errorf("%s is no public key: it is no file, or larger than 16 KiB", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return jwtauth.PublicKey{}, err
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, err := jwtauth.ParsePublicKey(line)
		if err != nil {
			return key, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	}
	return jwtauth.PublicKey{}, fmt.Errorf("%s has no public key", path)
}
