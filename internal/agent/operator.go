package agent

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"shellagent/config"
	"shellagent/internal/cli"
	"shellagent/internal/door"
)

// ask asks the agent whose configuration is at path.
func ask(ctx context.Context, path string, r door.Request, result any) error {
	dir, err := stateDirOf(path)
	if err != nil {
		return err
	}
	return door.Ask(ctx, dir, r, result)
}

// stateDirOf finds the state directory that a configuration names. It needs
// nothing else of the file, which may be broken just when sessions must end.
func stateDirOf(path string) (string, error) {
	s := settings{StateDir: defaultStateDir}
	if _, err := config.Read(path, &s); err != nil {
		if path == defaultConfig {
			return defaultStateDir, nil
		}
		return "", err
	}
	if !filepath.IsAbs(s.StateDir) {
		s.StateDir = filepath.Join(filepath.Dir(path), s.StateDir)
	}
	return s.StateDir, nil
}

// configFlag is the flag of every command that needs the agent's configuration.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "the agent's configuration `FILE`")
	_ = cmd.MarkFlagFilename("config", "json")
}

// untilInterrupt returns a context that ends with Ctrl-C.
func untilInterrupt(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// note tells the operator something beside the result.
func note(cmd *cobra.Command, format string, args ...any) {
	say(cmd.ErrOrStderr(), cmd.Root().Name()+": "+fmt.Sprintf(format, args...))
}

// say writes lines of which parts may come from elsewhere.
func say(out io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintln(out, cli.Clean(line))
	}
}

// count is "1 session" or "3 sessions".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
