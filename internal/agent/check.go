package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/shell/process"
	"shellagent/sources"
)

func checkCommand() *cobra.Command {
	var path string
	var as, asJSON bool
	var command, subsystem string
	cmd := &cobra.Command{
		Use:   "check [--as KEY SOURCE [--command STRING | --subsystem NAME | -- ARGV…]]",
		Short: "Validate the configuration and say what it allows",
		Long: `Read the agent's configuration as listen does, and print per source and key what
it may do. With --as, explain one decision step by step: KEY is a public key's
file, the line itself, or a thumbprint. What is decided about is the source's
shell, or the command or subsystem that follows.

Exits with 1 when something is wrong, naming file, line and column of every
mistake; with --as also when the decision is no.`,
		Example: `  agent check
  agent check -c ./agent.json --json
  agent check --as ~/.ssh/id_ed25519.pub debug
  agent check --as ~/.ssh/id_ed25519.pub backup -- rsync --server . /srv`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); as && dash >= 0 {
				if command != "" || subsystem != "" || dash == len(args) {
					return fmt.Errorf(`give the command by --command, or after "--", or a subsystem`)
				}
				args = args[:dash]
			}
			if as && len(args) != 2 {
				return fmt.Errorf("--as takes a key and a source: agent check --as ~/.ssh/id_ed25519.pub debug")
			}
			if !as && (len(args) != 0 || command != "" || subsystem != "") {
				return fmt.Errorf("check takes no arguments and no command without --as")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := load(path)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if as {
				ask := sources.Request{Source: args[1], Open: shell.OpenRequest{Argv: args[2:], Command: command, Subsystem: subsystem}}
				return explain(cmd.Context(), out, l.policy, args[0], ask, asJSON)
			}
			return summarize(cmd.Context(), out, l, asJSON)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the agent's configuration `FILE`")
	cmd.Flags().BoolVar(&as, "as", false, "explain what KEY may do in SOURCE")
	cmd.Flags().StringVar(&command, "command", "", "with --as: what the source's shell would be asked to run")
	cmd.Flags().StringVar(&subsystem, "subsystem", "", "with --as: what would be spoken in place of a program, which is sftp, copy or forward")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagFilename("config", "json")
	return cmd
}

func summarize(ctx context.Context, out io.Writer, l *loaded, asJSON bool) error {
	sum := l.policy.Summary(ctx, time.Now())
	if asJSON {
		return writeJSON(out, struct {
			Version int          `json:"version"`
			File    string       `json:"file"`
			Audit   auditSummary `json:"audit"`
			sources.Summary
		}{1, l.path, l.auditSummary(), sum})
	}
	fmt.Fprintf(out, "%s is valid\n", l.path)
	for _, w := range sum.Warnings {
		fmt.Fprintf(out, "warning: %s\n", w)
	}
	printAudit(out, l.auditSummary())
	for _, s := range sum.Sources {
		printSource(out, s)
	}
	return nil
}

func printSource(out io.Writer, s sources.SourceSummary) {
	fmt.Fprintf(out, "\nsource %s: %s as %s", s.Name, shellText(s.Shell), s.User)
	if s.Group != "" {
		fmt.Fprintf(out, ":%s", s.Group)
	}
	fmt.Fprintln(out)
	if s.Commands == nil {
		fmt.Fprintf(out, "  allows %s\n", allowText(s))
	}
	if s.Commands != nil {
		fmt.Fprintf(out, "  only the commands: %s\n", strings.Join(s.Commands, "; "))
		if s.Forward != nil {
			fmt.Fprintf(out, "  and forward (%s)\n", s.Forward.Text)
		}
	}
	if s.ForceCommand != nil {
		fmt.Fprintf(out, "  always runs: %s\n", strings.Join(s.ForceCommand, " "))
	}
	if s.Banner != "" {
		fmt.Fprintf(out, "  shows first: %s\n", bannerText(s.Banner))
	}
	for _, c := range s.VerifyCommands {
		fmt.Fprintf(out, "  asks about other keys: %s\n", strings.Join(c, " "))
	}
	fmt.Fprintf(out, "  at most %d sessions, each of %s\n", s.Limits.MaxSessions, processesText(s.Limits.MaxProcesses))
	if s.Record != nil {
		fmt.Fprintf(out, "  recorded: %s\n", recordText(s.Record))
	}
	if s.WatchQuietly {
		fmt.Fprintln(out, "  who is watched is not told")
	}
	if s.Drain != nil {
		fmt.Fprintf(out, "  output goes to the sinks of the audit trail: %s\n", drainText(s.Drain))
	}
	if len(s.Keys) == 0 && len(s.VerifyCommands) == 0 {
		fmt.Fprintln(out, "  nobody: no key may open it (add verifyKeys)")
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, k := range s.Keys {
		who := k.Subject
		if who == "" {
			who = k.Label
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", k.Thumbprint, who, keyText(k))
	}
	table.Flush()
}

// recordText says what is kept of a session and what happens when it cannot be.
func recordText(r *sources.RecordSummary) string {
	parts := []string{"always"}
	if !r.Required {
		parts[0] = "where it is possible"
	}
	if r.Input {
		parts = append(parts, "with what is typed")
	}
	if n := len(r.Recipients); n > 0 {
		parts = append(parts, fmt.Sprintf("encrypted to %d recipients", n))
	}
	if r.Sample > 0 {
		parts = append(parts, fmt.Sprintf("at most %d bytes of output a second", r.Sample))
	}
	if r.Dir != "" {
		parts = append(parts, "in "+r.Dir)
	}
	if r.Keep != "" {
		parts = append(parts, "for "+r.Keep)
	}
	if r.MaxBytes > 0 {
		parts = append(parts, fmt.Sprintf("the oldest go when all have %d MiB", r.MaxBytes>>20))
	}
	return strings.Join(parts, ", ")
}

// allowText says what may be asked of a source.
func allowText(s sources.SourceSummary) string {
	if len(s.Allow) == 0 {
		return "nothing"
	}
	texts := make([]string, len(s.Allow))
	for i, a := range s.Allow {
		texts[i] = string(a)
		if f := s.Files; a == shell.ActionSFTP && (f.ReadOnly || f.Paths != nil) {
			texts[i] += " (" + f.Text + ")"
		}
		if a == shell.ActionForward && s.Forward != nil {
			texts[i] += " (" + s.Forward.Text + ")"
		}
	}
	return strings.Join(texts, ", ")
}

// bannerText is a banner's first line.
func bannerText(text string) string {
	first, more, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if more != "" {
		first += " …"
	}
	return cli.Clean(first)
}

func shellText(words []string) string {
	if len(words) == 0 {
		return "the user's own shell"
	}
	return strings.Join(words, " ")
}

// processesText says what holds where the agent can limit processes, which its
// log says at its start: this command runs outside the agent's unit.
func processesText(n int) string {
	if n == 0 {
		return fmt.Sprintf("%d processes or a quarter of the unit's, where it has the pids controller", process.DefaultMaxProcesses)
	}
	return fmt.Sprintf("%d processes, where the unit has the pids controller", n)
}

func keyText(k sources.KeySummary) string {
	if k.Refused != "" {
		return "refused: " + k.Refused
	}
	text := "runs as " + k.User
	if len(k.From) > 0 {
		text += " from " + strings.Join(k.From, ", ")
	}
	if !k.NotAfter.IsZero() {
		text += " until " + k.NotAfter.Format(time.RFC3339)
	}
	return text
}

// explain prints one decision; a denial is exit 1.
func explain(ctx context.Context, out io.Writer, p *sources.Policy, name string, ask sources.Request, asJSON bool) error {
	key, err := keyNamed(p, name)
	if err != nil {
		return cli.Usage(err)
	}
	ask.Key, ask.Now = key, time.Now()
	x := p.Explain(ctx, ask)
	if asJSON {
		err = writeJSON(out, struct {
			Version int            `json:"version"`
			Granted bool           `json:"granted"`
			Steps   []sources.Step `json:"steps"`
		}{1, x.Grant != nil, x.Steps})
	} else {
		printExplanation(out, key, ask, x)
	}
	if err == nil && x.Grant == nil {
		return cli.Exit(1)
	}
	return err
}

func printExplanation(out io.Writer, key jwtauth.PublicKey, ask sources.Request, x sources.Explanation) {
	what, source := "open", ask.Source
	switch ask.Open.Action() {
	case shell.ActionExec:
		what = "run this in"
	case shell.ActionSFTP:
		what = "use the files of"
	case shell.ActionForward:
		what = "forward through"
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range x.Steps {
		verdict := "ok"
		if !s.OK {
			verdict = "NO"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", verdict, s.Check, s.Detail)
	}
	table.Flush()
	if g := x.Grant; g != nil {
		fmt.Fprintf(out, "%s may %s %s: %s as %s in %s\n", key.Thumbprint(), what, source, strings.Join(g.Argv, " "), g.Credential.User, g.Dir)
		return
	}
	fmt.Fprintf(out, "%s may not %s %s\n", key.Thumbprint(), what, source)
}

// keyNamed finds the public key that a person means: a file, a line or the
// thumbprint of a key that is configured.
func keyNamed(p *sources.Policy, name string) (jwtauth.PublicKey, error) {
	if key, ok := p.Key(name); ok {
		return key, nil
	}
	line := name
	if data, err := os.ReadFile(name); err == nil {
		line = strings.TrimSpace(string(data))
	}
	key, _, err := jwtauth.ParsePublicKey(line)
	if err == nil {
		return key, nil
	}
	if private, err := jwtauth.LoadPrivateKey(name, nil); err == nil {
		return private.PublicKey(), nil
	}
	return jwtauth.PublicKey{}, fmt.Errorf("%s is not a public key, a file with one, or the thumbprint of a configured key: %w", name, err)
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
