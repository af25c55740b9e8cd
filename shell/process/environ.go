package process

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// markVariable marks the processes of a session where there is no cgroup.
const markVariable = "SHELLAGENT_TREE"

// environment is the grant's environment with what only the start knows. The
// result is never nil: nil would mean the agent's own.
func environment(granted []string, o Options, tty string) []string {
	env := make([]string, 0, len(granted)+3)
	for _, entry := range granted {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "SSH_TTY", "SSH_CONNECTION", markVariable:
		default:
			env = append(env, entry)
		}
	}
	if o.Client.IsValid() {
		env = append(env, "SSH_CONNECTION="+endpoint(o.Client)+" "+endpoint(o.Server))
	}
	if tty != "" {
		env = append(env, "SSH_TTY="+tty)
	}
	return env
}

// endpoint writes an address as sshd does, also one that is not known.
func endpoint(a netip.AddrPort) string {
	if !a.IsValid() {
		return "UNKNOWN 65535"
	}
	return fmt.Sprintf("%s %d", a.Addr().Unmap(), a.Port())
}

// lookUp returns the last value of name, which is the one that counts.
func lookUp(env []string, name string) string {
	for _, entry := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
