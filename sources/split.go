package sources

import (
	"errors"
	"fmt"
	"strings"

	"shellagent/shell"
)

// word is one argument of a command string.
type word struct {
	text string
	// quoted says that a part of it stood in quotes.
	quoted bool
}

// metacharacters are what some shell gives a meaning to when it is not quoted
// (POSIX.1-2024, Shell Command Language, 2.2; ! # ~ { } are bash's and zsh's).
const metacharacters = "|&;<>()$`\\*?[]#~{}!"

// split takes a command string apart by quotes alone: 'all of this' and "all
// but $ ` \". Anything unquoted that a shell would give a meaning to refuses the
// whole string, since nothing here expands it: what is matched is what runs.
// With wildcards, the words * and ** are let through.
func split(line string, wildcards bool) ([]word, error) {
	var words []word
	for rest := strings.TrimLeft(line, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		w, after, err := nextWord(rest, len(words) == 0, wildcards)
		if err != nil {
			return nil, err
		}
		if words = append(words, w); len(words) > shell.MaxArgv {
			return nil, fmt.Errorf("command has more than %d words", shell.MaxArgv)
		}
		rest = after
	}
	if len(words) == 0 {
		return nil, errors.New("command is empty")
	}
	return words, nil
}

// nextWord reads the word that s begins with. In the first word "=" would make
// a shell set a variable.
func nextWord(s string, first, wildcards bool) (w word, rest string, err error) {
	var text strings.Builder
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t':
			w.text = text.String()
			return w, s[i:], nil
		case c == '\'' || c == '"':
			n := strings.IndexByte(s[i+1:], c)
			if n < 0 {
				return word{}, "", fmt.Errorf("quote %c is not closed", c)
			}
			inside := s[i+1 : i+1+n]
			if err := checkQuoted(inside, c); err != nil {
				return word{}, "", err
			}
			text.WriteString(inside)
			w.quoted = true
			i += n + 2
		case wildcards && c == '*':
			text.WriteByte(c)
			i++
		case strings.IndexByte(metacharacters, c) >= 0, c == '=' && first:
			return word{}, "", fmt.Errorf("unquoted %q has a meaning to a shell and is not allowed here: quote it or leave it out", c)
		case c < ' ' || c == 0x7f:
			return word{}, "", fmt.Errorf("unquoted control character %q is not allowed", c)
		default:
			text.WriteByte(c)
			i++
		}
	}
	w.text = text.String()
	return w, "", nil
}

func checkQuoted(s string, quote byte) error {
	if strings.IndexByte(s, 0) >= 0 {
		return errors.New("a NUL character cannot be in an argument")
	}
	if quote != '"' {
		return nil
	}
	if i := strings.IndexAny(s, "$`\\"); i >= 0 {
		return fmt.Errorf("%q has a meaning to a shell within double quotes and is not allowed here: use single quotes", s[i])
	}
	return nil
}

// argv returns the words' texts.
func argv(words []word) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = w.text
	}
	return list
}

// plainBytes need no quotes anywhere but "=" in a first word.
const plainBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-="

// join writes arguments as a command string that a shell, and split, take apart
// into the same arguments.
func join(argv []string) string {
	var line strings.Builder
	for i, arg := range argv {
		if i > 0 {
			line.WriteByte(' ')
		}
		plain := arg != "" && strings.Trim(arg, plainBytes) == "" && (i > 0 || !strings.Contains(arg, "="))
		if plain {
			line.WriteString(arg)
			continue
		}
		// A single quote goes between double ones, which needs no backslash.
		line.WriteString("'" + strings.ReplaceAll(arg, "'", `'"'"'`) + "'")
	}
	return line.String()
}
