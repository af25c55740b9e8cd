package playback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"shellagent/audit"
	"shellagent/internal/cli"
)

func logCommand() *cobra.Command {
	l := &logging{}
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show the audit trail",
		Long: `Show the audit trail of this host: who came in, with which key, from where, as
which user, what they ran and how it ended, and who was refused.

Times are local ones, as "2026-01-02", "2026-01-02 15:04:05" or RFC 3339, or how
long ago: 90m, 24h, 7d. Every condition must hold.`,
		Example: `  agent log --since 24h
  agent log --subject alice --event session.opened
  agent log --session CZ4OkC5PR --json
  agent log --follow`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return l.run(ctx, cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.filter.subject, "subject", "", "only what `NAME` did")
	f.StringVar(&l.filter.source, "source", "", "only what concerns the source `NAME`")
	f.StringVar(&l.filter.user, "user", "", "only what ran as the user `NAME`")
	f.StringVar(&l.filter.key, "key", "", "only what the key with this `THUMBPRINT` did")
	f.StringVar(&l.filter.session, "session", "", "only the session whose `ID` begins so")
	f.StringVar(&l.filter.remote, "remote", "", "only what came from this `ADDRESS`")
	f.StringVar(&l.filter.event, "event", "", "only events of this `KIND`, session.* for all of sessions")
	f.StringVar(&l.since, "since", "", "only what was at this `TIME` or later")
	f.StringVar(&l.until, "until", "", "only what was before this `TIME`")
	f.BoolVarP(&l.follow, "follow", "f", false, "go on with what is added, until Ctrl-C")
	f.BoolVar(&l.json, "json", false, "print the trail's lines as they are")
	f.StringVar(&l.dir, "dir", "/var/lib/shellagent/audit", "the trail's `DIRECTORY`")
	return cmd
}

type logging struct {
	filter       filter
	since, until string
	follow, json bool
	dir          string
}

func (l *logging) run(ctx context.Context, cmd *cobra.Command) error {
	var err error
	now := time.Now()
	if l.filter.since, err = parseTime(l.since, now); err != nil {
		return cli.Usage(fmt.Errorf("--since: %w", err))
	}
	if l.filter.until, err = parseTime(l.until, now); err != nil {
		return cli.Usage(fmt.Errorf("--until: %w", err))
	}
	t := &trailReader{dir: l.dir, match: l.filter.prepare(), each: func(e audit.Entry) error {
		if !l.filter.takes(&e.Event) {
			return nil
		}
		if l.json {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", e.Raw)
			return err
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), cli.Clean(e.Time.Local().Format(time.DateTime)+" "+e.String()))
		return err
	}}
	if err := t.read(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: there is no audit trail; an agent keeps one when it is root or \"audit\" says so", l.dir)
		}
		return err
	}
	for l.follow {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
		if err := t.read(); err != nil {
			return err
		}
	}
	return nil
}

// followEvery is how soon a new line is seen. Lines are few; a file that is
// looked at needs no watch that could break.
const followEvery = 200 * time.Millisecond

// trailReader reads a trail to its end, again and again.
type trailReader struct {
	dir   string
	match func([]byte) bool
	each  func(audit.Entry) error
	file  string // the last one that was read
	from  int64
}

func (t *trailReader) read() error {
	files, err := audit.Files(t.dir)
	if err != nil {
		return err
	}
	for _, path := range files {
		if filepath.Base(path) < filepath.Base(t.file) {
			continue
		}
		if path != t.file {
			t.file, t.from = path, 0
		}
		if t.from, err = audit.Scan(path, t.from, t.match, t.each); err != nil {
			return err
		}
	}
	return nil
}
