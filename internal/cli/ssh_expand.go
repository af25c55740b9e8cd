package cli

import (
	"fmt"
	"os"
	"os/user"
	"strings"

	"shellagent/internal/sshargs"
)

// expand replaces the tokens of ssh_config(5), TOKENS, that mean something here.
func (s *surroundings) expand(line string, call *sshargs.Command, to sshargs.Destination, port string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] != '%' {
			b.WriteByte(line[i])
			continue
		}
		i++
		if i == len(line) {
			return "", fmt.Errorf("%q ends within a token", line)
		}
		text, err := token(line[i], call, to, port)
		if err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func token(c byte, call *sshargs.Command, to sshargs.Destination, port string) (string, error) {
	switch c {
	case '%':
		return "%", nil
	case 'h':
		return to.Hostname, nil
	case 'n':
		return call.Host, nil
	case 'k':
		if alias := call.Settings.Get("hostkeyalias"); alias != "" {
			return alias, nil
		}
		return call.Host, nil
	case 'C':
		return connectionHash(call, to, port)
	case 'j':
		return jumpOf(call), nil
	case 'T':
		return "NONE", nil // the tunnel's device, of which there is none
	case 'p':
		return port, nil
	case 'r':
		return to.User, nil
	case 'd':
		return os.UserHomeDir()
	case 'l', 'L':
		name, err := os.Hostname()
		if c == 'L' {
			name, _, _ = strings.Cut(name, ".")
		}
		return name, err
	case 'u', 'i':
		me, err := user.Current()
		if err != nil {
			return "", err
		}
		if c == 'i' {
			return me.Uid, nil
		}
		return me.Username, nil
	}
	return "", fmt.Errorf("%%%c is no token that is known here", c)
}
