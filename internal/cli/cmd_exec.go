package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"shellagent/shell"
)

func execCommand(s *surroundings) *cobra.Command {
	r, p := &reach{}, &program{}
	var command, subsystem string
	c := &cobra.Command{
		Use:   "exec [SOURCE] TARGET {-- ARGV… | --command STRING | --subsystem sftp}",
		Short: "Run one command on a target",
		Long: `Run one command on a target and behave as it does: standard input, output and
error are the command's, and so is the exit code.

"-- ARGV…" runs a program with exactly these arguments, without a shell: 127 when
it is not found, 126 when it cannot be executed. "--command STRING" has the
source's shell run the string. "--subsystem sftp" speaks SFTP on standard input
and output, for programs that know how: files are served by the agent itself.

The exit code is the command's; 128+n when signal n ended it or this program; 2
when the command line, the configuration or a key cannot be used; 255 when the
connection failed or the agent refused.`,
		Example: `  agent exec debug myhost -- uptime
  agent exec debug@myhost --command 'ps aux | grep [n]ginx'
  tar cz site | agent exec deploy web1 -- tar xz -C /srv
  agent exec -t debug myhost -- top`,
		ValidArgsFunction: completeAddress(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			words, request, err := splitExec(args, cmd.ArgsLenAtDash(), command, subsystem, cmd.Flags().Changed("command"))
			if err != nil {
				return err
			}
			source, target, err := addressArgs(words)
			if err != nil {
				return err
			}
			return s.runProgram(cmd.Context(), r, p, source, target, request, p.forceTerminal)
		},
	}
	r.register(c)
	p.register(c)
	c.Flags().StringVar(&command, "command", "", "have the source's shell run `STRING`")
	c.Flags().StringVar(&subsystem, "subsystem", "", "speak the protocol of `NAME`, which is sftp")
	_ = c.RegisterFlagCompletionFunc("subsystem", cobra.FixedCompletions([]string{shell.SubsystemSFTP}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// splitExec parts the address from the command. dash is how many arguments
// stand before "--", or -1.
func splitExec(args []string, dash int, command, subsystem string, given bool) (words []string, request shell.OpenRequest, err error) {
	words = args
	if dash >= 0 {
		words, request.Argv = args[:dash], args[dash:]
	}
	request.Command, request.Subsystem = command, subsystem
	for _, arg := range append([]string{command}, request.Argv...) {
		if strings.ContainsRune(arg, 0) {
			return nil, request, misuse("a command cannot contain a zero byte")
		}
	}
	switch {
	case subsystem != "" && (given || dash >= 0):
		return nil, request, misuse(`--subsystem takes no command`)
	case subsystem != "" && subsystem != shell.SubsystemSFTP && subsystem != shell.SubsystemCopy:
		return nil, request, misuse("there is no subsystem %q: there is %s, and %s for programs that copy as cp does", subsystem, shell.SubsystemSFTP, shell.SubsystemCopy)
	case given && dash >= 0:
		return nil, request, misuse(`"-- ARGV…" and --command exclude each other`)
	case given && command == "":
		return nil, request, misuse("--command is empty")
	case dash >= 0 && (len(request.Argv) == 0 || request.Argv[0] == ""):
		return nil, request, misuse(`there is no command after "--"`)
	case len(request.Argv) > shell.MaxArgv:
		return nil, request, misuse("%d arguments, at most %d are possible", len(request.Argv), shell.MaxArgv)
	case subsystem != "":
		return words, request, nil
	case !given && dash < 0 && len(args) > 2:
		return nil, request, misuse(`put "--" before the command: exec %s %s -- %s`, args[0], args[1], strings.Join(args[2:], " "))
	case !given && dash < 0:
		return nil, request, misuse(`which command? add "-- ARGV…" or --command STRING`)
	}
	return words, request, nil
}
