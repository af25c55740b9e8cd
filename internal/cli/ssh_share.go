package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"shellagent/internal/share"
	"shellagent/internal/sshargs"
	"shellagent/targets"
)

// sshShare is what ControlMaster, ControlPersist and ControlPath come to: for how
// long a connection is shared. Where it is met follows from the target and the
// key; a ControlPath only says whether.
func (s *surroundings) sshShare(call *sshargs.Command, r *reach) (shareFlag, error) {
	set := call.Settings
	can, err := s.canShare(r)
	if err != nil {
		return "", err
	}
	master := set.Get("controlmaster")
	switch {
	case !can || set.Get("controlpath") == "none":
		return "off", nil
	case master == "" || master == "no" || set.Get("controlpath") == "":
		return s.ownShare(call, r)
	}
	idle := targets.MinShare // as ssh's master, which ends with its last session
	switch persist := set.Get("controlpersist"); persist {
	case "", "no":
	case "yes":
		idle = targets.MaxShare
	default:
		seconds, err := strconv.Atoi(persist)
		if err != nil {
			return "", fmt.Errorf("ControlPersist: %w", err)
		}
		idle = min(max(idle, time.Duration(seconds)*time.Second), targets.MaxShare)
	}
	return shareFlag(idle.String()), nil
}

// ownShare is the target's own.
func (s *surroundings) ownShare(call *sshargs.Command, r *reach) (shareFlag, error) {
	config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
	if err != nil {
		return "", Usage(err)
	}
	target, err := config.Target(call.Host, r.port)
	if err != nil {
		return "", Usage(err)
	}
	if target.Share == 0 {
		return "off", nil
	}
	return shareFlag(target.Share.String()), nil
}

// canShare says whether another process can make the same connection: it is told
// what the configuration and the flags of every command can say.
func (s *surroundings) canShare(r *reach) (bool, error) {
	x := r.ssh
	if x.dial != nil || x.forget || x.strict || x.hostname != "" || len(x.identities) > 0 || x.agent != "" {
		return false, nil
	}
	config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
	if err != nil {
		return false, Usage(err)
	}
	return config.SigningKeyPath != "" || len(config.SigningCommands) > 0 || s.getenv("SSH_AUTH_SOCK") != "", nil
}

// sshControl is -O: it asks what holds the shared connection of this target.
func (s *surroundings) sshControl(call *sshargs.Command, r *reach) error {
	socket := call.Settings.Get("controlpath")
	if socket == "" || socket == "none" {
		return &sshargs.Error{Text: `No ControlPath specified for "-O" command`}
	}
	do, told := share.DoStatus, "Master running"
	switch call.Control {
	case "check":
	case "exit":
		do, told = share.DoExit, "Exit request sent."
	case "stop":
		do, told = share.DoStop, "Stop listening request sent."
	default:
		return fmt.Errorf("-O %s: Shell Agent has no forwarding through a shared connection (docs/ssh.md)", call.Control)
	}
	c, err := s.address(r, call.Host)
	if err != nil {
		return err
	}
	place, err := c.sharePlace()
	if err != nil {
		return err
	}
	status, err := askHolder(place, do, nil)
	if errors.Is(err, share.ErrNobody) {
		return &sshargs.Error{Text: "Control socket connect(" + socket + "): No such file or directory"}
	}
	if err != nil {
		return err
	}
	if do == share.DoStatus {
		told = fmt.Sprintf("%s (pid=%d)", told, status.PID)
	}
	s.ui.raw(told + "\n")
	return nil
}
