package sources

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"

	"shellagent/shell"
)

// askCommand decides what is started.
func (d *decision) askCommand(context.Context) (string, *shell.Denied) {
	open := d.request.Open
	d.shell = d.source.shellPath(d.user.Shell)
	var denied *shell.Denied
	switch s := d.source; {
	case open.Subsystem == shell.SubsystemForward:
		d.grantForward()
		return d.say("%s as %s", forwardText(s.forward), d.user.Name), nil
	case open.Subsystem != "":
		if denied = d.serveFiles(); denied == nil {
			return d.say("%s as %s", filesText(s.files), d.user.Name), nil
		}
	case !s.force.IsZero():
		denied = d.forced(open)
	case s.listed:
		denied = d.fromList(open)
	case open.Command != "":
		denied = d.shellCommand(open.Command)
	case len(open.Argv) > 0:
		denied = d.direct(open.Argv)
	default:
		denied = d.interactive()
	}
	if denied != nil {
		return "", denied
	}
	return d.say("starts %s as %s", d.grant.Path, join(d.grant.Argv)), nil
}

// start sets what is executed, with arguments of its own.
func (d *decision) start(path string, argv ...string) {
	d.grant.Path, d.grant.Argv = path, slices.Clone(argv)
}

// shellPath is what a command string is handed to, and what SHELL says: the
// source's, or the user's own. A program that is searched on PATH cannot be in
// SHELL.
func (s *source) shellPath(users string) string {
	switch list := s.shell.Argv; {
	case s.shell.Line != "":
		return s.shell.Line
	case len(list) > 0 && path.IsAbs(list[0]):
		return list[0]
	}
	return users
}

// interactive starts the source's shell: as a login shell, whose name begins
// with "-", or just as its list says.
func (d *decision) interactive() *shell.Denied {
	if list := d.source.shell.Argv; len(list) > 0 {
		d.start(list[0], list...)
		return nil
	}
	d.start(d.shell, "-"+path.Base(d.shell))
	return d.checkShell()
}

// shellCommand starts SHELL -c command; a shell given as a list keeps its
// arguments.
func (d *decision) shellCommand(command string) *shell.Denied {
	if list := d.source.shell.Argv; len(list) > 0 {
		d.start(list[0], append(slices.Clone(list), "-c", command)...)
		return nil
	}
	d.start(d.shell, path.Base(d.shell), "-c", command)
	return d.checkShell()
}

// checkShell looks whether the shell is there, so that the client is told so
// and not shown a failed start.
func (d *decision) checkShell() *shell.Denied {
	if d.request.Again {
		return nil
	}
	info, err := os.Stat(d.shell)
	if err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0) {
		err = fmt.Errorf("%s is not an executable file", d.shell)
	}
	if err != nil {
		return shell.Deny(shell.ReasonShell, fmt.Errorf("shell of the source %q: %w", d.source.name, err))
	}
	return nil
}

// restricted are shells that hold their users back though /etc/shells may list
// them; Debian lists rbash there.
var restricted = []string{
	"rbash", "rksh", "rzsh", "rdash", "git-shell", "scponly", "rssh", "lshell", "nologin", "false", "true",
}

// direct starts a program without the shell. That is more than the shell would
// give where the shell holds back: a menu, a container's shell, nologin. So it
// takes a shell that is known not to: a plain path that /etc/shells lists.
func (d *decision) direct(argv []string) *shell.Denied {
	if !d.request.Again {
		if err := d.shellIsFree(); err != nil {
			denied := shell.Deny(shell.ReasonShell, err)
			denied.Public = "the source's shell may hold its users back, so programs run only through it: use --command, or have the source list its commands"
			return denied
		}
	}
	d.start(argv[0], argv...)
	return nil
}

func (d *decision) shellIsFree() error {
	if len(d.source.shell.Argv) > 0 {
		return fmt.Errorf("the shell of the source %q has arguments that a program run directly would not be held to", d.source.name)
	}
	shells, err := d.policy.accounts.Shells()
	if err != nil {
		return fmt.Errorf("which shells are free: %w", err)
	}
	if !slices.Contains(shells, d.shell) || slices.Contains(restricted, path.Base(d.shell)) {
		return fmt.Errorf("the shell %s of the source %q is not a free one of /etc/shells, and a program run directly would pass it by", d.shell, d.source.name)
	}
	return nil
}

// fromList starts a command that the source lists, directly: a command string
// is not handed to a shell, which would read more into it than was matched.
func (d *decision) fromList(open shell.OpenRequest) *shell.Denied {
	list := open.Argv
	if open.Command != "" {
		words, err := split(open.Command, false)
		if err != nil {
			return refuse(err)
		}
		list = argv(words)
	}
	if !d.source.commandAllowed(list) {
		return refuse(fmt.Errorf("%.200q is not one of its commands", join(list)))
	}
	d.start(list[0], list...)
	return nil
}

// refuse tells the client why, who may open the source and so may know.
func refuse(err error) *shell.Denied {
	denied := shell.Deny(shell.ReasonCommand, err)
	denied.Public = "the source does not allow this: " + err.Error()
	return denied
}

// forced starts forceCommand and keeps what was asked for.
func (d *decision) forced(open shell.OpenRequest) *shell.Denied {
	d.original, d.grant.Forced = commandText(open), true
	if len("SHELLAGENT_ORIGINAL_COMMAND=")+len(d.original) >= shell.MaxArgument {
		return refuse(fmt.Errorf("the command has more than %d bytes", shell.MaxArgument))
	}
	if list := d.source.force.Argv; len(list) > 0 {
		d.start(list[0], list...)
		return nil
	}
	return d.shellCommand(d.source.force.Line)
}
