package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"github.com/spf13/cobra"

	"shellagent/internal/terminal"
	"shellagent/jwtauth"
	"shellagent/targets"
)

func keysCommand(s *surroundings) *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make keys and show their public halves",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(generateCommand(s), publicCommand(s), fingerprintCommand(s), certificateCommand(s))
	return c
}

func generateCommand(s *surroundings) *cobra.Command {
	var file, comment string
	var batch bool
	c := &cobra.Command{
		Use:   "generate -o FILE",
		Short: "Make an Ed25519 key",
		Long: `Make an Ed25519 key in OpenSSH's format: FILE, which only you can read, and
FILE.pub. The public line is printed: it belongs in the agent's verifyKeys.

When standard input is a terminal, a passphrase is asked for.`,
		Example: `  agent keys generate -o ~/.ssh/id_shellagent
  agent keys generate --batch -o ci_key --comment ci@example.org`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return misuse("where to? add -o FILE")
			}
			if !cmd.Flags().Changed("comment") {
				comment = defaultComment()
			}
			if clean(comment) != comment || len(comment) > 256 {
				return misuse("a comment is at most 256 printable characters")
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return s.generate(ctx, file, comment, !batch && terminal.Is(s.stdin))
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "output", "o", "", "write the private key to `FILE` and the public one to FILE.pub")
	f.StringVar(&comment, "comment", "", "what to call the key (default: you@this-machine)")
	f.BoolVar(&batch, "batch", false, "never ask: the key has no passphrase")
	return c
}

// generate writes both files; neither may be there already.
func (s *surroundings) generate(ctx context.Context, file, comment string, ask bool) error {
	for _, path := range []string{file, file + ".pub"} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is there already: choose another name, or remove it", path)
		}
	}
	var passphrase []byte
	if ask {
		var err error
		if passphrase, err = askNewSecret(ctx); err != nil {
			if exit, ok := exitOf(ctx); ok {
				return exit
			}
			return err
		}
		defer clear(passphrase)
	}
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		return err
	}
	private, err := key.MarshalOpenSSH(comment, passphrase)
	if err != nil {
		return err
	}
	defer clear(private)
	line := key.PublicKey().AuthorizedKey(comment) + "\n"
	if err := writeNew(file, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(file+".pub", []byte(line), 0o644); err != nil {
		return err
	}
	s.ui.note("wrote %s and %s.pub", file, file)
	return s.print(line)
}

// writeNew never writes to a file that somebody else may have made.
func writeNew(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

func defaultComment() string {
	name, host := "", ""
	if u, err := user.Current(); err == nil {
		name = filepath.Base(filepath.ToSlash(u.Username))
	}
	host, _ = os.Hostname()
	return clean(name + "@" + host)
}

// shownKey is the JSON of a public key.
type shownKey struct {
	Version     int    `json:"version"`
	Key         string `json:"key"`
	Algorithm   string `json:"alg"`
	Thumbprint  string `json:"thumbprint"`
	Fingerprint string `json:"fingerprint"`
}

func publicCommand(s *surroundings) *cobra.Command {
	return showKeyCommand(s, &cobra.Command{
		Use:   "public FILE",
		Short: "Print the public half of a key as an OpenSSH line",
		Long: `Print the public half of a private key (OpenSSH, PKCS #8, PKCS #1, SEC 1 or
Etcha's form) or of a public one as an OpenSSH line, as verifyKeys takes it.`,
		Example: `  agent keys public ~/.ssh/id_ed25519`,
	}, func(k jwtauth.PublicKey) string { return k.AuthorizedKey("") })
}

func fingerprintCommand(s *surroundings) *cobra.Command {
	var openSSH bool
	c := showKeyCommand(s, &cobra.Command{
		Use:   "fingerprint FILE",
		Short: "Print a key's fingerprint",
		Long: `Print the RFC 7638 thumbprint of a private or public key, or with --openssh the
fingerprint that ssh-keygen -l prints: both are accepted by --fingerprint. An
agent's owner reads out its host key's to those who connect for the first time.`,
		Example: `  agent keys fingerprint /var/lib/shellagent/host_key.pub
  agent keys fingerprint --openssh ~/.ssh/id_ed25519.pub`,
	}, func(k jwtauth.PublicKey) string {
		if openSSH {
			return k.OpenSSHFingerprint()
		}
		return k.Thumbprint()
	})
	c.Flags().BoolVar(&openSSH, "openssh", false, "print OpenSSH's fingerprint (SHA256:…)")
	return c
}

// showKeyCommand is a command that prints something of the key in a file.
func showKeyCommand(s *surroundings, c *cobra.Command, text func(jwtauth.PublicKey) string) *cobra.Command {
	var asJSON bool
	c.Args = cobra.ExactArgs(1)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		key, err := readAnyKey(ctx, args[0])
		if exit, ok := exitOf(ctx); ok {
			return exit
		}
		if err != nil {
			return err
		}
		if !asJSON {
			return s.print(text(key) + "\n")
		}
		return s.printJSON(shownKey{1, key.AuthorizedKey(""), key.Alg(), key.Thumbprint(), key.OpenSSHFingerprint()})
	}
	jsonFlag(c, &asJSON)
	return c
}

// readAnyKey returns the public half of a public or private key file.
func readAnyKey(ctx context.Context, path string) (jwtauth.PublicKey, error) {
	if key, err := targets.ReadPublicKey(path); err == nil {
		return key, nil
	}
	key, err := readPrivateKey(ctx, path)
	if err != nil {
		return jwtauth.PublicKey{}, err
	}
	return key.PublicKey(), nil
}

// readPrivateKey asks for a passphrase if there is one and somebody to ask.
func readPrivateKey(ctx context.Context, path string) (*jwtauth.PrivateKey, error) {
	var ask func(string) ([]byte, error)
	if terminal.CanAsk() {
		ask = func(path string) ([]byte, error) { return askSecret(ctx, fmt.Sprintf(askPassphrase, path)) }
	}
	return jwtauth.LoadPrivateKey(path, ask)
}
