package sources

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"shellagent/shell"
)

// Allow is what may be asked of a source. What a written one leaves out is
// denied.
type Allow struct {
	// Shell is the source's shell.
	Shell bool `json:"shell"`
	// Exec is a command: any, a shell too, unless commands or forceCommand say
	// otherwise.
	Exec bool `json:"exec"`
	// SFTP is files, which the agent serves itself as the source's user.
	SFTP FileAccess `json:"sftp"`
	// LocalForward are where connections through the host may lead (-L, -D, -W),
	// RemoteForward what may be listened on there (-R); see [ParseDestination].
	// Nil means nothing, with any other rights.
	LocalForward  []string `json:"localForward"`
	RemoteForward []string `json:"remoteForward"`
	// AgentForward lets programs on the host use the client's key agent (-A).
	AgentForward bool `json:"agentForward"`
}

// defaultAllow is what a source without allow allows: all that its user could do
// with a shell, but forwards, which open a way past the host's walls.
var defaultAllow = Allow{Shell: true, Exec: true, SFTP: FileAccess{On: true}}

// forwards says whether anything may be forwarded.
func (a Allow) forwards() bool {
	return len(a.LocalForward) > 0 || len(a.RemoteForward) > 0 || a.AgentForward
}

// actions returns what is allowed, in the order in which it is told.
func (a Allow) actions() []shell.Action {
	var all []shell.Action
	for _, one := range []struct {
		allowed bool
		action  shell.Action
	}{{a.Shell, shell.ActionShell}, {a.Exec, shell.ActionExec}, {a.SFTP.On, shell.ActionSFTP}, {a.forwards(), shell.ActionForward}} {
		if one.allowed {
			all = append(all, one.action)
		}
	}
	return all
}

// allow sets what may be asked of a source, and refuses what contradicts itself.
func (b *builder) allow(s *source, c Source, at func(...string) string) {
	allow := defaultAllow
	switch {
	case c.Allow == nil && s.listed:
		allow = Allow{Exec: true}
	case c.Allow == nil && !s.force.IsZero():
		allow.SFTP.On = false
	case c.Allow == nil:
	default:
		allow = *c.Allow
		s.servesFiles = allow.SFTP.On
		b.files(s, allow.SFTP, at)
		b.forward(s, allow, at)
		if s.servesFiles && !s.force.IsZero() {
			b.bad(at("allow", "sftp"), errors.New("forceCommand runs in place of whatever is asked for, so there is no sftp; keep one of the two"))
		}
		if s.listed && allow.Shell {
			b.bad(at("allow", "shell"), errors.New("commands are all that may be run, so there is no shell; keep one of the two"))
		}
		if s.listed && !allow.Exec {
			b.bad(at("allow"), errors.New(`commands are what exec may run, and allow denies it; add "exec": true, or remove commands`))
		}
	}
	s.allow = allow.actions()
	if len(s.allow) == 0 {
		b.warn(fmt.Sprintf("source %q allows nothing: its allow has neither shell nor exec nor sftp nor a forward", s.name))
	}
}

// askAction decides whether what is asked for may be asked at all.
func (d *decision) askAction(context.Context) (string, *shell.Denied) {
	action, allowed := d.request.Open.Action(), d.source.allow
	if !slices.Contains(allowed, action) {
		denied := shell.Deny(shell.ReasonAction, fmt.Errorf("the source %q allows %s, and %s is asked for", d.source.name, actionList(allowed), action))
		denied.Public = fmt.Sprintf("the source does not allow %s: it allows %s", action, actionList(allowed))
		return "", denied
	}
	return d.say("%s is asked for; the source allows %s", action, actionList(allowed)), nil
}

func actionList(actions []shell.Action) string {
	if len(actions) == 0 {
		return "nothing"
	}
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}
