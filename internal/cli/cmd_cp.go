package cli

import (
	"github.com/spf13/cobra"

	"shellagent/internal/copying"
)

func cpCommand(s *surroundings) *cobra.Command {
	r, k := &reach{}, &cpFlags{}
	c := &cobra.Command{
		Use:   "cp SOURCE… DESTINATION",
		Short: "Copy files and trees to, from and between targets",
		Long: `Copy files and directory trees as cp does. What is on a target is written
[SOURCE@]TARGET:PATH; a PATH that is not absolute begins in the directory where
the source's sessions start, ~ is the user's home. Everything else is on this
machine; what has a colon in its name is written ./a:b. From one target to another
the content passes through here, and no file is made here.

A directory is copied with all that is in it. Into a directory that is there things
are copied by their names; otherwise DESTINATION is the new name. A slash behind a
directory makes no difference, but "dir/." is what is in it. Modes and times are
kept, symbolic links as links, and holes in sparse files; owners, hard links,
ACLs and set-user-ID bits are not. Devices, pipes and sockets are left out. On a
target * ? and [ ] stand for names, as in a shell: quote them here.

A file gets its name when it is whole and its SHA-256 is that of what was read;
until then it is .NAME.agent-part beside it. What is there already is replaced,
but no directory by a file, and no file by a directory; links are replaced and not
followed. A copy that was interrupted is gone on with by the same command with
--update: files that have the same size and time are left alone then, and the one
that was begun goes on from where it was. Without --update it does so, too, and all
others are copied again.

The exit code is 0 when everything was copied; 1 when something could not be, after
all the rest was; 2 when the command line, the configuration or a key cannot be
used; 128+n when signal n ended it; 255 when the connection failed or the agent
refused. A source has to allow sftp, which is the right to files.`,
		Example: `  agent cp notes.txt debug@myhost:
  agent cp -u site/. deploy@web1:/srv/www
  agent cp 'myhost:/var/log/*.log' logs/
  agent cp web1:/srv/www web2:/srv/`,
		ValidArgsFunction: completeCopy(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := planCopy(args)
			if err != nil {
				return err
			}
			return s.runCopy(cmd.Context(), r, k, plan)
		},
	}
	r.registerWithoutPort(c)
	c.Flags().IntVarP(&r.port, "port", "P", 0, portUsage)
	k.register(c)
	return c
}

// cpFlags are cp's own.
type cpFlags struct {
	options  copying.Options
	limit    string
	asJSON   bool
	program  program
	accepted bool // of cp's and scp's flags, which say what is always done
}

func (k *cpFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.BoolVarP(&k.options.Update, "update", "u", false, "leave files alone that have the same size and time already")
	f.BoolVarP(&k.options.Follow, "dereference", "L", false, "copy what symbolic links lead to")
	f.BoolVar(&k.options.Sync, "fsync", false, "have every file on the disk before it gets its name")
	f.StringVar(&k.limit, "bwlimit", "", "at most `RATE` bytes per second, such as 500K or 10M")
	f.BoolVar(&k.asJSON, "json", false, "print progress, problems and the result as lines of JSON")
	for _, name := range []string{"recursive", "archive", "preserve"} {
		f.BoolVarP(&k.accepted, name, name[:1], false, "is always so, and accepted for cp's sake")
	}
	k.program.compress.register(c)
	k.program.share.register(c)
}
