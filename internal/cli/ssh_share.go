package cli

import (
	"context"
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
	can, err := s.canShare(call, r)
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
func (s *surroundings) canShare(call *sshargs.Command, r *reach) (bool, error) {
	x := r.ssh
	if x.dial != nil || x.forget || x.strict || x.hostname != "" || len(x.identities) > 0 || x.agent != "" {
		return false, nil
	}
	config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
	if err != nil {
		return false, Usage(err)
	}
	if target, err := config.Target(call.Host, r.port); err == nil && target.Jump != "" && x.straight {
		return false, nil
	}
	return config.SigningKeyPath != "" || len(config.SigningCommands) > 0 || s.getenv("SSH_AUTH_SOCK") != "", nil
}

// sshStay returns what waits until ctx ends: with a connection that is shared, as
// ssh's master, which keeps it, and ends when it is asked to by -O exit.
func (s *surroundings) sshStay(ctx context.Context, call *sshargs.Command, c *contact) (wait func(context.Context) error, err error) {
	wait = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	flag, err := s.sshShare(call, c.reach)
	if err != nil {
		return nil, err
	}
	idle, err := flag.idle(c.target)
	if err != nil || idle == 0 {
		return wait, err
	}
	place, err := c.sharePlace()
	if err != nil {
		c.unshared(err)
		return wait, nil
	}
	conn, err := c.joinHolder(ctx, place, idle)
	if err != nil {
		c.unshared(err)
		return wait, nil
	}
	return func(ctx context.Context) error {
		if err := conn.Stay(ctx); !errors.Is(err, share.ErrHolderGone) {
			return err
		}
		return nil
	}, nil
}

// noMaster says in ssh's words that nobody holds a connection.
func noMaster(err error, socket string) error {
	if errors.Is(err, share.ErrNobody) {
		return &sshargs.Error{Text: "Control socket connect(" + socket + "): No such file or directory"}
	}
	return err
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
	case "forward":
		do, told = share.DoForward, ""
	case "cancel":
		do, told = share.DoCancel, ""
	default:
		return fmt.Errorf("-O %s: Shell Agent has no such request to a shared connection (docs/ssh.md)", call.Control)
	}
	c, err := s.address(r, call.Host)
	if err != nil {
		return err
	}
	place, err := c.sharePlace()
	if err != nil {
		return err
	}
	var status share.Status
	if told == "" {
		source, err := s.sshSource(call, r)
		if err != nil {
			return err
		}
		err = s.askForwards(place, do, source, call)
		return noMaster(err, socket)
	}
	if status, err = askHolder(place, do, nil); err != nil {
		return noMaster(err, socket)
	}
	if do == share.DoStatus {
		told = fmt.Sprintf("%s (pid=%d)", told, status.PID)
	}
	s.ui.raw(told + "\n")
	return nil
}
