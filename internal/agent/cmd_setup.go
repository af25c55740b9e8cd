package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/internal/listen"
)

func setupCommand() *cobra.Command {
	s := &setup{}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make this host one that your key opens",
		Long: `Make what a first host needs: the state directory with the host key, and a
configuration with one source that your key opens. Then check it, and print the
host's fingerprint and what to type on the client. Run it on the host, as root or,
for an agent of your own that runs as you, as yourself.

Nothing that is there is changed. Where a configuration is, the source is written
beside it, into sources.d; where the source is too, it is told what to add if it
does not let your key in. A second run does nothing.

The keys are those of --key: a file of public keys, the line itself, or - for
standard input. Without it they are read from standard input when that is a pipe or
a file; else you are asked which of your authorized_keys and ~/.ssh/*.pub it is to
be.`,
		Example: `  sudo agent setup --user operator --key alice.pub
  ssh root@host agent setup --user operator --key - <~/.ssh/id_ed25519.pub
  agent setup --listen 127.0.0.1:4001 --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilInterrupt(cmd.Context())
			defer stop()
			return s.run(ctx, cmd)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&s.config, "config", "c", "", "write this configuration `FILE` (default: "+defaultConfig+", without root one in ~/.config/shellagent)")
	f.StringVar(&s.source, "source", "debug", "the `NAME` of the source")
	f.StringVar(&s.user, "user", "", "run its sessions as the user `NAME` (default: whoever used sudo; without root yourself)")
	f.StringVar(&s.shell, "shell", "", "start the login shell `PATH` (default: the user's own)")
	f.StringArrayVar(&s.keys, "key", nil, "let in the public keys of `FILE`, the key LINE itself, or those of standard input (-)")
	f.StringVar(&s.listen, "listen", "", "listen on `ADDRESS` (default: "+defaultAddress+", every address of the host)")
	f.BoolVar(&s.dryRun, "dry-run", false, "print what would be written, and write nothing")
	f.BoolVar(&s.json, "json", false, "print JSON")
	_ = cmd.MarkFlagFilename("config", "json")
	_ = cmd.MarkFlagFilename("key", "pub")
	return cmd
}

// setup is one run of the command.
type setup struct {
	config, source, user, shell, listen string
	keys                                []string
	stateDir                            string // "" for the one that belongs to the configuration
	dryRun, json                        bool
}

// madeSetup is what came of it.
type madeSetup struct {
	Version int    `json:"version"`
	Config  string `json:"config"`
	// Wrote are the files that were not there, or with a dry run would be.
	Wrote  []string      `json:"wrote"`
	Source string        `json:"source"`
	User   string        `json:"user"`
	Keys   []string      `json:"keys"` // thumbprints
	Host   *shownHostKey `json:"hostKey,omitempty"`
	// Running: an agent runs with this configuration, and has it in force.
	Running bool `json:"running"`
	// Start is what to type here unless it runs, Connect on the client.
	Start   string `json:"start,omitempty"`
	Connect string `json:"connect,omitempty"`
}

func (s *setup) run(ctx context.Context, cmd *cobra.Command) error {
	if err := s.complete(); err != nil {
		return err
	}
	keys, err := s.readKeys(ctx, cmd.InOrStdin())
	if err != nil {
		return err
	}
	p, err := s.plan(ctx, keys)
	if err != nil {
		return err
	}
	if s.dryRun {
		return s.show(cmd, p)
	}
	if err := p.write(); err != nil {
		return err
	}
	host, err := p.hostKey()
	if err != nil {
		return err
	}
	running, err := p.tell(ctx)
	if err != nil {
		return err
	}
	out := s.made(p)
	out.Host, out.Running = showHostKey(host), running
	out.Connect = connectCommand(p.loaded, s.source, host.PublicKey().Thumbprint())
	if !running {
		out.Start = startCommand(s.config)
	}
	if s.json {
		return writeJSON(cmd.OutOrStdout(), out)
	}
	printSetup(cmd, p, out)
	return nil
}

// complete fills in what was left out.
func (s *setup) complete() (err error) {
	root := os.Geteuid() == 0
	if s.config == "" {
		s.config = defaultConfig
		if !root {
			dir, err := os.UserConfigDir()
			if err != nil {
				return cli.Usage(fmt.Errorf("name the configuration with -c: %w", err))
			}
			s.config, s.stateDir = filepath.Join(dir, "shellagent", "agent.json"), stateOfPerson()
		}
	}
	if s.config, err = filepath.Abs(s.config); err != nil {
		return err
	}
	if s.listen != "" {
		if err := listen.Check(s.listen); err != nil {
			return cli.Usage(err)
		}
	}
	if s.shell != "" && !isExecutable(s.shell) {
		return cli.Usage(fmt.Errorf("--shell %s is not the absolute path of a program", s.shell))
	}
	if s.user == "" && root {
		if name := os.Getenv("SUDO_USER"); name != "root" {
			s.user = name
		}
	}
	return nil
}

// stateOfPerson is where the agent of a user keeps its state.
func stateOfPerson() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "shellagent", "agent")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "shellagent", "agent")
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && filepath.IsAbs(path) && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

func (s *setup) made(p *plan) madeSetup {
	out := madeSetup{Version: 1, Config: s.config, Wrote: p.files(), Source: s.source, Keys: []string{}, User: p.user()}
	for _, k := range p.keys {
		out.Keys = append(out.Keys, k.key.Thumbprint())
	}
	return out
}

// show is a dry run.
func (s *setup) show(cmd *cobra.Command, p *plan) error {
	if s.json {
		return writeJSON(cmd.OutOrStdout(), s.made(p))
	}
	if len(p.drafts) == 0 {
		note(cmd, "there is nothing to write: the source %s is there and lets these keys in", s.source)
	}
	for _, path := range p.files() {
		note(cmd, "would write %s:", path)
		say(cmd.OutOrStdout(), strings.TrimSuffix(string(p.drafts[path]), "\n"))
	}
	return nil
}

func printSetup(cmd *cobra.Command, p *plan, out madeSetup) {
	for _, path := range out.Wrote {
		note(cmd, "wrote %s", path)
	}
	if len(out.Wrote) == 0 {
		note(cmd, "nothing to do: the source %s is there and lets these keys in", out.Source)
	}
	for _, k := range p.keys {
		if k.label == "" {
			k.label = "a key without a label"
		}
		note(cmd, "%s (%s) may open %s as %s", k.label, k.key.Thumbprint(), out.Source, out.User)
	}
	for _, w := range p.loaded.policy.Warnings() {
		note(cmd, "warning: %s", w)
	}
	say(cmd.OutOrStdout(), "host key  "+out.Host.Thumbprint+"  "+out.Host.Fingerprint)
	if out.Start != "" {
		say(cmd.OutOrStdout(), "here      "+out.Start)
	}
	say(cmd.OutOrStdout(), "client    "+out.Connect)
}

// errNoKey is what a run without keys and without anybody to ask comes to.
var errNoKey = errors.New("whose key? name a public key with --key FILE, or give it on standard input with --key -")

// maxKeyInput bounds what is read of keys, in bytes.
const maxKeyInput = 64 << 10

func readBounded(r io.Reader, what string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeyInput+1))
	if err == nil && len(text) > maxKeyInput {
		err = fmt.Errorf("more than %d bytes", maxKeyInput)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return text, nil
}
