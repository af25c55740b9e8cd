package sshargs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func unsupported(value string) error {
	return &Error{Text: fmt.Sprintf("command-line line 0: unsupported option %q.", value)}
}

// oneOf reads one of several words, in any case; true and false are yes and no.
func oneOf(values ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		s = strings.ToLower(s)
		if !slices.Contains(values, s) {
			return "", unsupported(s)
		}
		switch s {
		case "true":
			return "yes", nil
		case "false", "off":
			return "no", nil
		}
		return s, nil
	}
}

var readFlag = oneOf("yes", "no", "true", "false")

func flag(s string) (string, error) { return readFlag(s) }

// flagOr is a flag or something else.
func flagOr(s string) (string, error) {
	if value, err := readFlag(s); err == nil {
		return value, nil
	}
	return s, nil
}

func number(s string) (string, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || s[0] == '+' {
		return "", &Error{Text: "command-line line 0: integer value invalid."}
	}
	return strconv.FormatInt(n, 10), nil
}

func portNumber(s string) (string, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return "", &Error{Text: fmt.Sprintf("Bad port '%s'", s)}
	}
	return strconv.FormatUint(n, 10), nil
}

// seconds reads a time of sshd_config(5), TIME FORMATS, or "none".
func seconds(s string) (string, error) {
	if s == "none" {
		return s, nil
	}
	n, ok := readTime(s)
	if !ok {
		return "", &Error{Text: "command-line line 0: invalid time value."}
	}
	return strconv.FormatInt(n, 10), nil
}

const maxSeconds = 1<<31 - 1

var units = map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}

func readTime(s string) (total int64, ok bool) {
	for s != "" {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		n, err := strconv.ParseInt(s[:digits], 10, 32)
		if err != nil {
			return 0, false
		}
		s = s[digits:]
		if s != "" {
			unit := units[s[0]|0x20]
			if unit == 0 {
				return 0, false
			}
			n, s = n*unit, s[1:]
		}
		if total += n; total > maxSeconds {
			return 0, false
		}
		ok = true
	}
	return total, ok
}

// persist reads how long a shared connection is kept: yes, no or a time.
func persist(s string) (string, error) {
	if value, err := readFlag(s); err == nil {
		return value, nil
	}
	if s == "none" {
		return "", unsupported(s)
	}
	value, err := seconds(s)
	if value == "0" {
		value = "yes" // without a limit
	}
	return value, err
}

func logLevel(s string) (string, error) {
	level := strings.ToUpper(s)
	switch level {
	case "DEBUG1":
		level = "DEBUG"
	case "SILENT":
		level = "QUIET"
	}
	if !slices.Contains(levels, level) {
		return "", &Error{Text: fmt.Sprintf("command-line line 0: unsupported log level '%s'", s)}
	}
	return level, nil
}

// escapeChar reads "none", one character, or "^" and a letter for a control character.
func escapeChar(s string) (string, error) {
	switch {
	case s == "none" || len(s) == 1:
		return s, nil
	case len(s) == 2 && s[0] == '^' && s[1] >= '@' && s[1] < 128:
		return "^" + strings.ToUpper(s[1:]), nil
	}
	return "", &Error{Text: fmt.Sprintf("Bad escape character '%s'.", s)}
}

// EscapeByte is the character that a setting of EscapeChar means. ok is false
// for none.
func EscapeByte(value string) (c byte, ok bool) {
	switch {
	case value == "":
		return '~', true
	case len(value) == 1:
		return value[0], true
	case len(value) == 2:
		return value[1] & 31, true
	}
	return 0, false
}
