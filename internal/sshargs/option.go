package sshargs

import (
	"fmt"
	"strings"
)

// space is ssh_config(5)'s white space.
const space = " \t\r\n"

// option reads the value of -o: a line of ssh_config(5).
func (p *parser) option(line string) error {
	line = strings.TrimRight(line, space+"\f")
	keyword, rest, err := splitKeyword(line)
	if keyword == "" || keyword[0] == '#' || err != nil {
		return err
	}
	rest = strings.TrimLeft(rest, space)
	if rest == "" {
		return &Error{Text: fmt.Sprintf("command-line line 0: no argument after keyword %q", keyword)}
	}
	known, ok := keywords[keyword]
	if !ok {
		if value := strings.TrimLeft(rest, space+"="); value != "" && isName(keyword) {
			p.Settings.first(keyword, value)
		}
		return nil
	}
	words, ok := SplitWords(rest)
	if !ok {
		return &Error{Text: "command-line line 0: invalid quotes"}
	}
	if known.kind == kindRest {
		words = []string{strings.TrimLeft(rest, space+"=")}
	}
	if len(words) == 0 || words[0] == "" {
		return &Error{Text: "command-line line 0: missing argument for " + keyword}
	}
	return p.assign(keyword, known, words)
}

// assign sets a known keyword.
func (p *parser) assign(keyword string, known definition, words []string) error {
	switch known.kind {
	case kindForward:
		for d, k := range forwardKeywords {
			if k == keyword {
				return p.forward(d, strings.Join(words, ":"))
			}
		}
	case kindAdd:
		p.Settings.add(keyword, words...)
		return nil
	case kindList:
		p.Settings.first(keyword, words...)
		return nil
	}
	if len(words) > 1 {
		return &Error{Text: fmt.Sprintf("command-line line 0: keyword %s extra arguments at end of line", keyword)}
	}
	value := words[0]
	if known.read != nil {
		var err error
		if value, err = known.read(value); err != nil {
			return err
		}
	}
	p.Settings.first(keyword, value)
	return nil
}

// splitKeyword parts a line at white space or one "=", as ssh's strdelim.
func splitKeyword(line string) (keyword, rest string, err error) {
	line = strings.TrimLeft(line, space)
	i := strings.IndexAny(line, space+"=\"")
	if i < 0 {
		return strings.ToLower(line), "", nil
	}
	if line[i] == '"' {
		return "", "", &Error{Text: "command-line line 0: a keyword is not quoted"}
	}
	keyword, rest = strings.ToLower(line[:i]), line[i+1:]
	rest = strings.TrimLeft(rest, space)
	if line[i] != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], space)
	}
	return keyword, rest, nil
}

func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// SplitWords takes a line apart at blanks, as ssh_config(5) does: quotes of both
// kinds keep blanks, a backslash keeps a quote, a backslash or a blank, and "#"
// at the start of a word begins a comment. ok is false when a quote is left open.
func SplitWords(line string) (words []string, ok bool) {
	for i := 0; i < len(line); i++ {
		if line[i] == ' ' || line[i] == '\t' {
			continue
		}
		if line[i] == '#' {
			break
		}
		var word []byte
		var quote byte
		for ; i < len(line); i++ {
			c := line[i]
			if c == '\\' && i+1 < len(line) && escapable(line[i+1], quote) {
				i++
				word = append(word, line[i])
				continue
			}
			if quote == 0 && (c == ' ' || c == '\t') {
				break
			}
			switch {
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote != 0 && c == quote:
				quote = 0
			default:
				word = append(word, c)
			}
		}
		if quote != 0 {
			return nil, false
		}
		words = append(words, string(word))
	}
	return words, true
}

func escapable(c, quote byte) bool {
	return c == '\'' || c == '"' || c == '\\' || quote == 0 && c == ' '
}
