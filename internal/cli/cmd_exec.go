package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"shellagent/shell"
)

func execCommand(s *surroundings) *cobra.Command {
	r, p, f := &reach{}, &program{}, &fan{}
	var command, subsystem string
	c := &cobra.Command{
		Use:   "exec [SOURCE] TARGET[,TARGET…] {-- ARGV… | --command STRING | --subsystem sftp}",
		Short: "Run one command on a target, or on many",
		Long: `Run one command on a target and behave as it does: standard input, output and
error are the command's, and so is the exit code.

"-- ARGV…" runs a program with exactly these arguments, without a shell: 127 when
it is not found, 126 when it cannot be executed. "--command STRING" has the
source's shell run the string. "--subsystem sftp" speaks SFTP on standard input
and output, for programs that know how: files are served by the agent itself.

The exit code is the command's; 128+n when signal n ended it or this program; 2
when the command line, the configuration or a key cannot be used; 255 when the
connection failed or the agent refused; 124 when --timeout ended the command.

Several targets are named by commas, and groups by @NAME ("groups" of the
configuration; @all is every target). Each line of output then begins with its
target's name; --group shows each target's output together, --json is for programs.
The command gets no input, unless --stdin-all copies it to all. Nobody is asked about
host keys. Ctrl-C is sent to every command, the second ends. The exit code is the
greatest of all: 0 only when all succeeded, 255 when one was not reached.`,
		Example: `  agent exec debug myhost -- uptime
  agent exec debug@myhost --command 'ps aux | grep [n]ginx'
  tar cz site | agent exec deploy web1 -- tar xz -C /srv
  agent exec -t debug myhost -- top
  agent exec debug web1,web2,@db -- uptime
  agent exec @all --group --timeout 30s --command 'systemctl is-system-running'
  agent exec @web --json -- df / | jq -j 'select(.stream == "stdout") | .target + " " + .text'`,
		ValidArgsFunction: completeTargets(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			words, request, err := splitExec(args, cmd.ArgsLenAtDash(), command, subsystem, cmd.Flags().Changed("command"))
			if err != nil {
				return err
			}
			if f.asked(words) {
				return s.runMany(cmd.Context(), r, p, f, words, request)
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
	f.register(c)
	c.Flags().DurationVar(&p.timeout, "timeout", 0, "end a program that runs for `LONG`er, counted from the connection on, with code 124")
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
	case subsystem != "" && subsystem != shell.SubsystemSFTP && subsystem != shell.SubsystemCopy && subsystem != shell.SubsystemForward:
		return nil, request, misuse("there is no subsystem %q: there is %s, and %s and %s for programs that copy and forward as cp and forward do",
			subsystem, shell.SubsystemSFTP, shell.SubsystemCopy, shell.SubsystemForward)
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
