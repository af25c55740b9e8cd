package sshargs

import (
	"fmt"
	"slices"
)

// levels are LogLevel's, from the quietest: -v steps through them.
var levels = []string{"QUIET", "FATAL", "ERROR", "INFO", "VERBOSE", "DEBUG", "DEBUG2", "DEBUG3"}

// flag does what a letter without a value does. Most letters replace what -o
// said before them; of -o itself the first counts.
func (p *parser) flag(letter byte) error {
	s := &p.Settings
	switch letter {
	case '1':
		return &Error{Text: "SSH protocol v.1 is no longer supported"}
	case '2': // the only version there is
	case '4':
		s.replace("addressfamily", "inet")
	case '6':
		s.replace("addressfamily", "inet6")
	case 'a':
		s.replace("forwardagent", "no")
	case 'A':
		s.replace("forwardagent", "yes")
	case 'C':
		s.replace("compression", "yes")
	case 'f':
		s.replace("forkafterauthentication", "yes")
		s.replace("stdinnull", "yes")
	case 'g':
		s.replace("gatewayports", "yes")
	case 'G':
		p.Print = true
	case 'k':
		s.replace("gssapidelegatecredentials", "no")
	case 'K':
		s.replace("gssapiauthentication", "yes")
		s.replace("gssapidelegatecredentials", "yes")
	case 'M':
		twice(s, "controlmaster", "yes", "ask")
	case 'n':
		s.replace("stdinnull", "yes")
	case 'N':
		return p.sessionType("none", "Cannot specify -N with -s/SessionType")
	case 'q':
		s.replace("loglevel", "QUIET")
	case 's':
		return p.sessionType("subsystem", "Cannot specify -s with -N/SessionType")
	case 't':
		twice(s, "requesttty", "yes", "force")
	case 'T':
		s.replace("requesttty", "no")
	case 'v':
		p.louder()
	case 'V':
		p.Version = true
	case 'x':
		s.replace("forwardx11", "no")
	case 'X':
		s.replace("forwardx11", "yes")
	case 'y':
		p.Syslog = true
	case 'Y':
		s.replace("forwardx11", "yes")
		s.replace("forwardx11trusted", "yes")
	}
	return nil
}

// twice sets once, and again when it is set to that already.
func twice(s *Settings, keyword, once, again string) {
	if s.Get(keyword) == once {
		once = again
	}
	s.replace(keyword, once)
}

func (p *parser) sessionType(kind, clash string) error {
	if have := p.Settings.Get("sessiontype"); have != "" && have != kind {
		return &Error{Text: clash}
	}
	p.Settings.replace("sessiontype", kind)
	if kind == "none" {
		p.Settings.replace("requesttty", "no")
	}
	return nil
}

func (p *parser) louder() {
	i := slices.Index(levels, p.Settings.Get("loglevel"))
	if !p.debugging {
		p.debugging = true
		i = slices.Index(levels, "DEBUG") - 1
	}
	p.Settings.replace("loglevel", levels[min(i+1, len(levels)-1)])
}

// letterKeywords are letters whose value is that of a keyword as it stands.
var letterKeywords = map[byte]string{
	'b': "bindaddress", 'B': "bindinterface", 'c': "ciphers", 'I': "pkcs11provider", 'm': "macs", 'P': "tag", 'S': "controlpath",
}

// value does what a letter with a value does.
func (p *parser) value(letter byte, value string) error {
	s := &p.Settings
	if letter == 'o' {
		return p.option(value)
	}
	if value == "" {
		return &Error{Text: fmt.Sprintf("the value of -%c is empty", letter)}
	}
	if keyword := letterKeywords[letter]; keyword != "" {
		s.replace(keyword, value)
		return nil
	}
	if forwardKeywords[Direction(letter)] != "" {
		return p.forward(Direction(letter), value)
	}
	switch letter {
	case 'e':
		char, err := escapeChar(value)
		if err != nil {
			return err
		}
		s.replace("escapechar", char)
	case 'E':
		p.LogFile = value
	case 'F':
		p.ConfigFile = value
	case 'i':
		s.add("identityfile", value)
	case 'J':
		return p.jump(value)
	case 'l':
		s.first("user", value)
	case 'O':
		return p.control(value)
	case 'p':
		port, err := portNumber(value)
		if err != nil {
			return err
		}
		s.first("port", port)
	case 'Q':
		p.Query = value
	case 'w':
		p.Tunnel = value
	case 'W':
		return p.stdio(value)
	}
	return nil
}

func (p *parser) jump(value string) error {
	if p.Settings.Get("proxyjump") != "" {
		return &Error{Text: "Only a single -J option is permitted (use commas to separate multiple jump hops)"}
	}
	if p.Settings.Get("proxycommand") != "" {
		return &Error{Text: "Cannot specify -J with ProxyCommand"}
	}
	if value != "none" {
		if _, err := ParseJump(value); err != nil {
			return err
		}
	}
	p.Settings.first("proxyjump", value)
	return nil
}

var controls = []string{"cancel", "check", "exit", "forward", "proxy", "stop"}

func (p *parser) control(value string) error {
	if p.Stdio != "" {
		return &Error{Text: "Cannot specify multiplexing command with -W"}
	}
	if p.Control != "" {
		return &Error{Text: "Multiplexing command already specified"}
	}
	if !slices.Contains(controls, value) {
		return &Error{Text: "Invalid multiplex command."}
	}
	p.Control = value
	return nil
}

func (p *parser) stdio(value string) error {
	if p.Stdio != "" {
		return &Error{Text: "stdio forward already specified"}
	}
	if p.Control != "" {
		return &Error{Text: "Cannot specify stdio forward with -O"}
	}
	if _, err := ParseStdio(value); err != nil {
		return err
	}
	p.Stdio = value
	p.Settings.replace("requesttty", "no")
	p.Settings.replace("sessiontype", "none")
	return nil
}
