package sshargs

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of a command line. Linux passes no argument of more than 128 KiB.
const (
	maxArguments = 1 << 16
	maxArgument  = 128 << 10 // bytes
)

// flagLetters take no value, valueLetters take one: OpenSSH 10's.
const (
	flagLetters  = "1246aACfgGkKMnNqstTvVxXyY"
	valueLetters = "bBcDeEFiIJlLmoOpPQRSwW"
)

// Parse reads a command line without the program's name. Its errors are *Error.
// An unknown keyword of -o is no error: it is a setting.
func Parse(args []string) (*Command, error) {
	if len(args) > maxArguments {
		return nil, &Error{Text: "too many arguments"}
	}
	for _, arg := range args {
		if len(arg) > maxArgument || strings.ContainsRune(arg, 0) {
			return nil, &Error{Text: "an argument is too long, or has a zero byte"}
		}
	}
	p := &parser{Command: &Command{}}
	rest, terminated, err := p.options(args)
	if err != nil || p.stopped() {
		return p.result(err)
	}
	if len(rest) == 0 {
		return nil, &Error{Usage: true}
	}
	if err := p.destination(rest[0]); err != nil {
		return nil, err
	}
	rest = rest[1:]
	// Options may follow the host as well, unless "--" stands before it.
	if !terminated {
		if rest, _, err = p.options(rest); err != nil || p.stopped() {
			return p.result(err)
		}
	}
	if len(rest) > 0 {
		p.Words = slices.Clone(rest)
	}
	return p.result(p.check())
}

type parser struct {
	*Command
	// debugging: a -v was there, which a further one adds to.
	debugging bool
}

// stopped says that ssh would have answered by now.
func (p *parser) stopped() bool { return p.Version || p.Query != "" }

func (p *parser) result(err error) (*Command, error) {
	if err != nil {
		return nil, err
	}
	if p.stopped() {
		p.Host = "" // what is behind an option is as if not there
	}
	return p.Command, nil
}

// options reads options as POSIX's getopt does: up to the first argument that is
// none, or past "--".
func (p *parser) options(args []string) (rest []string, terminated bool, err error) {
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" {
			return args[1:], true, nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			return args, false, nil
		}
		args = args[1:]
		for i := 1; i < len(arg); i++ {
			letter := arg[i]
			if strings.IndexByte(flagLetters, letter) >= 0 {
				if err := p.flag(letter); err != nil || p.stopped() {
					return nil, false, err
				}
				continue
			}
			if strings.IndexByte(valueLetters, letter) < 0 {
				return nil, false, &Error{Text: fmt.Sprintf("unknown option -- %c", letter), Usage: true}
			}
			value := arg[i+1:]
			if value == "" {
				if len(args) == 0 {
					return nil, false, &Error{Text: fmt.Sprintf("option requires an argument -- %c", letter), Usage: true}
				}
				value, args = args[0], args[1:]
			}
			if err := p.value(letter, value); err != nil || p.stopped() {
				return nil, false, err
			}
			break
		}
	}
	return nil, false, nil
}

// check refuses what contradicts itself only as a whole.
func (p *parser) check() error {
	kind, command := p.Settings.Get("sessiontype"), p.Settings.Get("remotecommand")
	given := len(p.Words) > 0 || command != "" && command != "none"
	switch {
	case p.Settings.Yes("forkafterauthentication") && !given && kind != "none":
		return &Error{Text: "Cannot fork into background without a command to execute."}
	case kind == "subsystem" && len(p.Words) == 0 && !p.Print:
		return &Error{Text: "You must specify a subsystem to invoke.", Usage: true}
	case len(p.Words) > 0 && command != "" && command != "none":
		return &Error{Text: "Cannot execute command-line and remote command."}
	}
	return nil
}
