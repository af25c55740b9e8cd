package playback

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/terminal"
)

func replayCommand() *cobra.Command {
	r := &replaying{}
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Play a recording in this terminal",
		Long: `Play a recording in this terminal, at the speed at which it happened.

Keys: space pauses and goes on; "." shows the next change while paused; the right
and left arrow jump 5 seconds, "]" and "[" a minute; "+" and "-" change the speed; "/" asks
for a text and jumps to where it next appears, "n" to where it appears again; "q" or
Ctrl-C leaves.

When standard output is not a terminal, all of the recording is written at once.`,
		Example: `  agent replay /var/lib/shellagent/recordings/2030/01/02/SESSION.cast.zst
  agent replay --speed 4 --idle-limit 1s SESSION.cast.zst
  agent replay --at 12m30s SESSION.cast.zst
  agent replay --find "permission denied" SESSION.cast.zst`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) },
	}
	cmd.Flags().Float64VarP(&r.speed, "speed", "s", 1, "play `N` times as fast")
	cmd.Flags().DurationVar(&r.idle, "idle-limit", 0, "wait no longer than `TIME` where nothing happened; 0 waits as long as it took")
	cmd.Flags().DurationVar(&r.at, "at", 0, "begin `TIME` after the session's start")
	cmd.Flags().StringVar(&r.find, "find", "", "begin where `TEXT` first appears")
	identityFlag(cmd, &r.identity)
	return cmd
}

type replaying struct {
	speed          float64
	idle, at       time.Duration
	find, identity string
}

const (
	minSpeed = 1.0 / 16
	maxSpeed = 1024
)

func (r *replaying) run(cmd *cobra.Command, path string) error {
	if r.speed < minSpeed || r.speed > maxSpeed {
		return fmt.Errorf("speed %v: choose one from %v to %v", r.speed, minSpeed, maxSpeed)
	}
	f, err := newFile(path, r.identity)
	if err != nil {
		return err
	}
	t, err := open(f)
	if err != nil {
		return err
	}
	defer t.close()
	if !terminal.Is(os.Stdout) {
		return writeAll(cmd, f, t)
	}
	p := &player{tape: t, out: os.Stdout, speed: r.speed, idle: r.idle}
	if r.at > 0 {
		p.goal = goal{at: r.at}
	}
	if r.find != "" {
		p.goal = goal{text: r.find, at: r.at}
	}
	if keys, err := terminal.Open(os.Stdin, os.Stdout); err == nil {
		if err := keys.Raw(); err != nil {
			return err
		}
		defer keys.Restore()
		p.listen(keys)
		defer p.deafen()
	}
	p.warnOfSize(cmd, terminal.SizeOf(os.Stdout))
	if err := p.play(cmd.Context()); err != nil && !errors.Is(err, errLeft) {
		return f.cutNote(cmd, err)
	}
	return nil
}
