package sshargs

import "strings"

// letterOf are keywords that are printed as a letter: their value is not one that
// a line would give.
var letterOf = map[string]string{"dynamicforward": "-D", "localforward": "-L", "remoteforward": "-R"}

// Argv returns a command line without the program's name that [Parse] reads as
// this command. The command is one that Parse returned.
func (c *Command) Argv() []string {
	var args []string
	for _, setting := range c.Settings {
		args = append(args, setting.argv()...)
	}
	for _, flag := range []struct {
		letter string
		given  bool
	}{{"-G", c.Print}, {"-y", c.Syslog}} {
		if flag.given {
			args = append(args, flag.letter)
		}
	}
	for _, value := range []struct{ letter, text string }{
		{"-O", c.Control}, {"-E", c.LogFile}, {"-F", c.ConfigFile}, {"-W", c.Stdio}, {"-w", c.Tunnel},
	} {
		if value.text != "" {
			args = append(args, value.letter, value.text)
		}
	}
	switch {
	case c.Version:
		return append(args, "-V")
	case c.Query != "":
		return append(args, "-Q", c.Query)
	case c.Host == "":
		return args
	}
	return append(append(args, "--", c.Host), c.Words...)
}

func (s Setting) argv() []string {
	var args []string
	if letter := letterOf[s.Keyword]; letter != "" {
		for _, value := range s.Values {
			args = append(args, letter, value)
		}
		return args
	}
	known, ok := keywords[s.Keyword]
	if !ok || known.kind == kindRest {
		return []string{"-o", s.Keyword + "=" + s.Values[0]}
	}
	quoted := make([]string, len(s.Values))
	for i, value := range s.Values {
		quoted[i] = quoteWord(value)
	}
	return []string{"-o", s.Keyword + "=" + strings.Join(quoted, " ")}
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// quoteWord is the inverse of [SplitWords] for one word.
func quoteWord(word string) string {
	if word != "" && word[0] != '=' && !strings.ContainsAny(word, space+"\f\"'\\#") {
		return word
	}
	return `"` + escapes.Replace(word) + `"`
}

// String is the command line as a shell would take it, with the name ssh.
func (c *Command) String() string {
	words := []string{"ssh"}
	for _, arg := range c.Argv() {
		words = append(words, ShellWord(arg))
	}
	return strings.Join(words, " ")
}

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"

// ShellWord makes one word of a POSIX shell's line, quoted if it needs that.
func ShellWord(s string) string {
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
