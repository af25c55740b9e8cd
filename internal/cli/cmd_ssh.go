package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"shellagent/internal/sshargs"
	"shellagent/internal/version"
)

// Args are a process's arguments without its name. As a program called ssh it
// does what its command ssh does.
func Args(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	name := strings.TrimSuffix(filepath.Base(argv[0]), ".exe")
	if name == "ssh" {
		return append([]string{"ssh"}, argv[1:]...)
	}
	return argv[1:]
}

func sshCommand(s *surroundings) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh [ssh options] [SOURCE@]TARGET [COMMAND…]",
		Short: "Be ssh to a person or a program that expects it",
		Long: `Open a shell on a target, or run a command there, with the command line of ssh(1):
every option of OpenSSH 10 is taken, before and after the host, and so is
ssh://SOURCE@TARGET:PORT. What has no meaning here is ignored, and -w is refused.
docs/ssh.md has the table.

TARGET is an entry of the client's configuration, or a host. The user's place is
the source's: SOURCE@TARGET, -l SOURCE or -o User=SOURCE; without one it is the
target's own. The words of a command are joined by spaces, and the source's shell
runs the line.

A link named ssh to this program is this command, for tools that start ssh:

  ln -s "$(command -v agent)" ~/shellagent/ssh; PATH=~/shellagent:$PATH

-F FILE names a client configuration, if it is one.

The exit code is the command's, and 255 for everything else, as ssh's: also when a
signal ended the command.`,
		Example: `  agent ssh debug@myhost uptime
  rsync -e 'agent ssh' -a site/ deploy@web1:/srv/
  GIT_SSH_COMMAND='agent ssh' git clone git@myhost:repo
  agent ssh -o BatchMode=yes -o ConnectTimeout=5 myhost -- df -h`,
		DisableFlagParsing: true,
		ValidArgsFunction:  completeAddress(s, &reach{}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "--help" {
				return cmd.Help()
			}
			return s.ssh(cmd.Context(), args)
		},
	}
}

const sshUsage = "usage: %s ssh [options of ssh(1)] [source@]target [command [argument ...]]"

// ssh returns nil or an [Exit]: of the program, or 255.
func (s *surroundings) ssh(ctx context.Context, args []string) error {
	call, err := sshargs.Parse(args)
	if err != nil {
		return s.sshMistake(err)
	}
	err = s.sshCall(ctx, call)
	var other otherExit
	var exit Exit
	switch {
	case err == nil:
		return nil
	case errors.As(err, &other):
		return Exit(codeTransport)
	case errors.As(err, &exit):
		return exit
	}
	s.ui.fail(err)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		s.ui.line(howToAdd(call.Host, s.configFile(call)))
	}
	return Exit(codeTransport)
}

func (s *surroundings) sshMistake(err error) error {
	var mistake *sshargs.Error
	if errors.As(err, &mistake) {
		if mistake.Text != "" {
			s.ui.line(mistake.Text)
		}
		if mistake.Usage {
			s.ui.line(strings.ReplaceAll(sshUsage, "%s", s.ui.name))
		}
	}
	return Exit(codeTransport)
}

// sshCall does what a command line asks for.
func (s *surroundings) sshCall(ctx context.Context, call *sshargs.Command) error {
	switch {
	case call.Version:
		s.ui.raw(sshVersion() + "\n")
		return nil
	case call.Query != "":
		return s.sshQuery(call.Query)
	}
	if call.LogFile != "" {
		f, err := os.OpenFile(call.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		s.ui.out = f
	}
	r, err := s.sshReach(call)
	if err != nil {
		return err
	}
	defer r.ssh.jump.close()
	if call.Print {
		return s.sshAnswer(call, r)
	}
	if call.Control != "" {
		return s.sshControl(call, r)
	}
	if err := refuseMissing(call); err != nil {
		return err
	}
	return s.sshRun(ctx, call, r)
}

// sshVersion begins as programs expect that ask which ssh this is.
func sshVersion() string {
	return "OpenSSH_9.9-compatible, Shell Agent " + version.String()
}

// sshQueries are the answers to -Q: what this client can do with keys, and what
// TLS 1.3 has.
var sshQueries = map[string][]string{
	"cipher":           {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
	"cipher-auth":      {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
	"compression":      {"none", "zstd"},
	"kex":              {"X25519MLKEM768", "X25519", "secp256r1"},
	"key":              {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"},
	"key-plain":        {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"},
	"key-cert":         {},
	"key-sig":          {"ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256"},
	"sig":              {"ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256"},
	"mac":              {},
	"protocol-version": {"2"},
	"help":             {"cipher", "cipher-auth", "compression", "kex", "key", "key-cert", "key-plain", "key-sig", "mac", "protocol-version", "sig"},
}

func (s *surroundings) sshQuery(what string) error {
	lines, ok := sshQueries[strings.ToLower(what)]
	if !ok {
		return &sshargs.Error{Text: "Unsupported query \"" + what + "\""}
	}
	for _, line := range lines {
		if err := s.print(line + "\n"); err != nil {
			return err
		}
	}
	return nil
}
