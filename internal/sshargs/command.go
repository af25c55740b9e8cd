// Package sshargs reads the command line of ssh(1): every option of OpenSSH 10,
// as getopt(3) and ssh_config(5) let it be written. It decides nothing: what a
// setting comes to is the caller's.
package sshargs

import "slices"

// Command is a command line of ssh. The zero value has neither a host nor settings.
type Command struct {
	// Version is -V and Query is -Q's value. What stands behind either is not read,
	// as ssh does not.
	Version bool
	Query   string
	// Print is -G.
	Print bool
	// Control is -O's value: "check", "forward", "cancel", "exit", "proxy", "stop".
	Control string
	// LogFile is -E's value, ConfigFile is -F's.
	LogFile, ConfigFile string
	// Stdio is -W's value.
	Stdio string
	// Tunnel is -w's value.
	Tunnel string
	// Syslog is -y.
	Syslog bool

	// Settings are -o's, and those that a letter or the destination stands for.
	Settings Settings

	// Host is the destination without user and port, which are settings; empty
	// when there is none.
	Host string
	// Words are what stands behind the host: a command, or a subsystem's name.
	Words []string
}

// Setting is one keyword of ssh_config(5) and what it is set to.
type Setting struct {
	// Keyword is in lower case.
	Keyword string
	// Values are at least one. Several are there only for a keyword that takes a
	// list or may be given repeatedly. Flags are "yes" or "no", times are seconds.
	Values []string
}

// Settings are keywords in the order in which they were first given, each once.
// A keyword may be one that OpenSSH does not have.
type Settings []Setting

// Get returns the first value of a keyword in lower case, or "".
func (s Settings) Get(keyword string) string {
	if all := s.All(keyword); len(all) > 0 {
		return all[0]
	}
	return ""
}

// All returns the values of a keyword in lower case. They are not the caller's to change.
func (s Settings) All(keyword string) []string {
	if i := s.find(keyword); i >= 0 {
		return s[i].Values
	}
	return nil
}

// Yes reports whether a keyword in lower case is set to "yes".
func (s Settings) Yes(keyword string) bool { return s.Get(keyword) == "yes" }

func (s Settings) find(keyword string) int {
	return slices.IndexFunc(s, func(x Setting) bool { return x.Keyword == keyword })
}

// first sets what is not set yet: in ssh_config(5) the first value counts.
func (s *Settings) first(keyword string, values ...string) {
	if s.find(keyword) < 0 {
		*s = append(*s, Setting{keyword, values})
	}
}

// replace sets what may be set already, as most letters do.
func (s *Settings) replace(keyword, value string) {
	if i := s.find(keyword); i >= 0 {
		(*s)[i].Values = []string{value}
		return
	}
	*s = append(*s, Setting{keyword, []string{value}})
}

// add appends to the values of a keyword.
func (s *Settings) add(keyword string, values ...string) {
	if i := s.find(keyword); i >= 0 {
		(*s)[i].Values = append((*s)[i].Values, values...)
		return
	}
	*s = append(*s, Setting{keyword, values})
}

// Error is why a command line is none of ssh's. It is one line, in ssh's words
// where ssh has some.
type Error struct {
	Text string
	// Usage says that ssh shows its usage along with it; Text may be empty then.
	Usage bool
}

func (e *Error) Error() string {
	if e.Text == "" {
		return "no destination"
	}
	return e.Text
}
