package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/internal/door"
)

// Extend gives the commands that every binary has what they can do on the
// agent's own host, for its operator.
func Extend(cmd *cobra.Command) {
	switch cmd.Name() {
	case "kill":
		extendKill(cmd)
	case "sessions":
		extendSessions(cmd)
	case "keys":
		cmd.AddCommand(rotateCommand())
	}
}

// agentsConfig is the configuration that -c names, the agent's own if it names none.
func agentsConfig(cmd *cobra.Command) string {
	if path, err := cmd.Flags().GetString("config"); err == nil && path != "" {
		return path
	}
	return defaultConfig
}

// onHost gives a command a second way to run, taken when here says so.
func onHost(cmd *cobra.Command, here func() bool, run func(context.Context, *cobra.Command) error) {
	args, elsewhere := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, words []string) error {
		if !here() {
			return args(cmd, words)
		}
		if len(words) > 0 {
			return fmt.Errorf("%q is too much: on the agent's own host no target is named", words[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if !here() {
			return elsewhere(cmd, words)
		}
		ctx, stop := untilInterrupt(cmd.Context())
		defer stop()
		return run(ctx, cmd)
	}
}

func extendSessions(cmd *cobra.Command) {
	var local bool
	cmd.Use += " | --local"
	cmd.Long += `

With --local, on the agent's own host and for its operator: everybody's sessions;
-c then names the agent's configuration.`
	cmd.Example += `
  agent sessions --local`
	cmd.Flags().BoolVar(&local, "local", false, "list everybody's sessions on this host")
	onHost(cmd, func() bool { return local }, func(ctx context.Context, cmd *cobra.Command) error {
		var list sessionList
		if err := ask(ctx, agentsConfig(cmd), door.Request{Sessions: &door.Sessions{}}, &list); err != nil {
			return err
		}
		if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
			return writeJSON(cmd.OutOrStdout(), list)
		}
		fmt.Fprint(cmd.OutOrStdout(), cli.SessionTable(list.Sessions, time.Now(), true))
		return nil
	})
}

func extendKill(cmd *cobra.Command) {
	var k door.Kill
	cmd.Use += " | --subject NAME | --all …"
	cmd.Long += `

On the agent's own host and for its operator, --subject, --key, --source, --session
and --all end whoever's sessions match all that is given, wait until they ended, and
print how many; -c then names the agent's configuration. The exit code is 1 when
there was none, or when one did not end. Who may come again is for the
configuration: remove or revoke the key first.`
	cmd.Example += `
  agent kill --subject alice
  agent kill --source debug --key 3kGx…`
	f := cmd.Flags()
	f.StringVar(&k.Subject, "subject", "", "on this host: end the sessions of the subject `NAME`")
	f.StringVar(&k.Key, "key", "", "on this host: end the sessions that the key with this `THUMBPRINT` opened")
	f.StringVar(&k.Source, "source", "", "on this host: end the sessions of the source `NAME`")
	f.StringVar(&k.Session, "session", "", "on this host: end the session whose `ID` starts so, whoever's it is")
	f.BoolVar(&k.All, "all", false, "on this host: end every session")
	onHost(cmd, func() bool { return k != (door.Kill{}) }, func(ctx context.Context, cmd *cobra.Command) error {
		return killHere(ctx, cmd, k)
	})
}

// minSession is how much of a session's id must be given.
const minSession = 4

func killHere(ctx context.Context, cmd *cobra.Command, k door.Kill) error {
	if k.All && k != (door.Kill{All: true}) {
		return cli.Usage(errors.New("--all ends everything: leave the others out"))
	}
	if n := len(k.Session); n > 0 && n < minSession {
		return cli.Usage(fmt.Errorf("session %q: give at least %d characters of its id", k.Session, minSession))
	}
	var out killed
	if err := ask(ctx, agentsConfig(cmd), door.Request{Kill: &k}, &out); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "ended %s\n", count(out.Ended, "session"))
	if out.Ended < out.Found {
		note(cmd, "%s did not end yet: its programs are being killed", count(out.Found-out.Ended, "session"))
	}
	if out.Found == 0 || out.Ended < out.Found {
		return cli.Exit(1)
	}
	return nil
}
