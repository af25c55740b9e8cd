package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func listenCommand() *cobra.Command {
	var path, portFile string
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Run the agent",
		Long: `Run the agent in the foreground, until SIGTERM or SIGINT. SIGHUP, and a change of
the configuration's files, make it read them again; a broken file keeps the
policy in force. Live sessions are asked again with what they opened with.

When the agent's own program was replaced, SIGHUP ("agent reload" as well) makes
the new one take over in the same process, with all sessions; clients lose their
connections and resume.
The new program is tried first, and if it does not start or does not accept the
configuration, the agent goes on as it is and says why.

The log goes to standard error.`,
		Example: `  agent listen                       # with ` + defaultConfig + `
  agent listen -c ./agent.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			// From before the configuration is read: what changes later is told.
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			earlier, err := takeOver()
			if err != nil {
				return fmt.Errorf("take over from the agent before: %w", err)
			}
			l, err := load(path)
			if err != nil {
				return err
			}
			a := &agent{
				log: newLogger(cmd.ErrOrStderr(), l.Log), config: l, hup: hup, asked: make(chan func(context.Context)),
			}
			return a.serve(ctx, earlier, portFile)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the agent's configuration `FILE`")
	cmd.Flags().StringVar(&portFile, "port-file", "", "write the port that the agent listens on to `FILE`, once it answers (for port 0)")
	_ = cmd.MarkFlagFilename("config", "json")
	return cmd
}

// newLogger logs for operators: user text goes elsewhere.
func newLogger(w io.Writer, s logSettings) *slog.Logger {
	var level slog.Level
	if s.Level != "" {
		_ = level.UnmarshalText([]byte(s.Level)) // settings.check accepts known levels only
	}
	options := &slog.HandlerOptions{Level: level}
	if s.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// writePort tells a script where the agent listens.
func writePort(file string, port int) error {
	if file == "" {
		return nil
	}
	if err := writeNew(file, fmt.Appendln(nil, port), 0o644); err != nil {
		return fmt.Errorf("port file: %w", err)
	}
	return nil
}

// hostName names this host in messages to the client.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// backgroundOf returns a context that outlives ctx's end.
func backgroundOf(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
