package shell

// Action is what an open asks for, by the name that policy has for it.
type Action string

// The actions.
const (
	ActionShell Action = "shell" // the source's shell
	ActionExec  Action = "exec"  // a command, as arguments or as a string
	ActionSFTP  Action = "sftp"  // files
	// ActionForward is connections through the host: what of it a source allows is
	// in [Forward].
	ActionForward Action = "forward"
)

// Action returns what the request asks for. It depends on what is asked for and
// on nothing that policy does with it: a forced command is no other action.
func (r *OpenRequest) Action() Action {
	if r.Subsystem == SubsystemCopy {
		return ActionSFTP
	}
	if r.Subsystem != "" {
		return Action(r.Subsystem)
	}
	if len(r.Argv) > 0 || r.Command != "" {
		return ActionExec
	}
	return ActionShell
}
