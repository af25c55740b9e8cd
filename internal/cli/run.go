package cli

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"shellagent/internal/terminal"
	"shellagent/internal/version"
)

// Program is one binary's command line.
type Program struct {
	// Name is what the binary is called; messages start with it.
	Name string
	// Short says in half a line what it is.
	Short string
	// More make commands beside those that every binary has. Their errors end the
	// program with code 1 unless they say otherwise ([Exit], [Usage]).
	More []func() []*cobra.Command
	// Extend, unless nil, is given each command that every binary has, to add what
	// only this one can do.
	Extend func(*cobra.Command)
}

// Run executes a command line (without the program's name) and returns the
// exit code. It talks to the standard streams and the controlling terminal.
func Run(args []string, p Program) int {
	s := &surroundings{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
		ui: &ui{name: p.Name, out: os.Stderr}, ways: &ways{},
	}
	defer s.ways.close()
	root := p.bare()
	if c := p.frequent(args, s); c != nil {
		root.AddCommand(c)
	} else {
		p.addMore(root)
		root.AddCommand(p.everybodys(s)...)
	}
	return execute(root, args, s)
}

// frequent returns the command that args name if it is one that is called all the
// time: making the others would take longer than all else that it does here.
func (p Program) frequent(args []string, s *surroundings) *cobra.Command {
	if len(args) == 0 {
		return nil
	}
	var c *cobra.Command
	switch args[0] {
	case "exec":
		c = execCommand(s)
	case "cp":
		c = cpCommand(s)
	case "ssh":
		c = sshCommand(s)
	case "shell":
		c = shellCommand(s)
	case "forward":
		c = forwardCommand(s)
	default:
		return nil
	}
	nameExamples([]*cobra.Command{c}, s.ui.name)
	if p.Extend != nil {
		p.Extend(c)
	}
	return c
}

// Root returns the command tree without the commands that every binary has.
func (p Program) Root() *cobra.Command {
	root := p.bare()
	p.addMore(root)
	return root
}

func (p Program) addMore(root *cobra.Command) {
	for _, more := range p.More {
		root.AddCommand(more()...)
	}
}

func (p Program) bare() *cobra.Command {
	return &cobra.Command{
		Use:               p.Name,
		Short:             p.Short,
		Version:           version.String(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
}

// Tree returns the whole command tree, for man pages.
func (p Program) Tree() *cobra.Command {
	root := p.Root()
	root.AddCommand(p.everybodys(&surroundings{getenv: os.Getenv, ui: &ui{name: p.Name}})...)
	root.InitDefaultCompletionCmd()
	return root
}

// everybodys are the commands that every binary has, as this one has them.
func (p Program) everybodys(s *surroundings) []*cobra.Command {
	all := commands(s)
	if p.Extend != nil {
		for _, c := range all {
			p.Extend(c)
		}
	}
	return all
}

// surroundings are what a command reads from and writes to.
type surroundings struct {
	stdin, stdout, stderr *os.File
	getenv                func(string) string
	ui                    *ui
	// escapes are those of a terminal that is typed on.
	escapes terminal.Escapes
	// connections are the lines of the escape that lists them; nil is none.
	connections func() []string
	// ways are those to targets through others.
	ways *ways
	// departed says that the person has left a program that goes on or is hung up.
	departed bool
}

// commands are those that every binary has.
func commands(s *surroundings) []*cobra.Command {
	all := []*cobra.Command{
		shellCommand(s), execCommand(s), cpCommand(s), sshCommand(s), sessionsCommand(s), attachCommand(s), watchCommand(s), killCommand(s),
		confirmCommand(s), shareCommand(s), keysCommand(s), tokenCommand(s), versionCommand(s),
	}
	nameExamples(all, s.ui.name)
	return all
}

// nameExamples gives the examples, written for agent, this program's name.
func nameExamples(all []*cobra.Command, name string) {
	for _, c := range all {
		c.Example = strings.ReplaceAll(c.Example, "agent ", name+" ")
		nameExamples(c.Commands(), name)
	}
}

func execute(root *cobra.Command, args []string, s *surroundings) int {
	root.SetArgs(args)
	root.SetIn(s.stdin)
	root.SetOut(s.stdout)
	root.SetErr(s.stderr)
	markFailures(root)
	c, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return 0
	}
	var exit Exit
	if errors.As(err, &exit) {
		return int(exit)
	}
	var failed *failure
	if errors.As(err, &failed) {
		s.ui.fail(failed.err)
		return failed.code
	}
	// What cobra finds wrong it finds before a command runs.
	s.ui.fail(err)
	s.ui.hint(c.CommandPath())
	return codeUsage
}

// markFailures tells the errors of commands apart from those of parsing.
func markFailures(c *cobra.Command) {
	for _, sub := range c.Commands() {
		markFailures(sub)
	}
	run := c.RunE
	if run == nil {
		return
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		var exit Exit
		var failed *failure
		var usage *usageError
		if err == nil || errors.As(err, &exit) || errors.As(err, &failed) || errors.As(err, &usage) {
			return err
		}
		return failWith(codeLocal, err)
	}
}
