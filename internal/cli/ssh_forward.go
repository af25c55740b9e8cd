package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"shellagent/internal/sshargs"
	"shellagent/internal/tunnel"
)

// sshForwarding is what -L, -R, -D and -A come to, with what says how.
func (s *surroundings) sshForwarding(call *sshargs.Command) (*forwarding, error) {
	set := call.Settings
	f := &forwarding{strict: set.Yes("exitonforwardfailure"), aside: set.Get("sessiontype") != "none", listening: s.tellPort}
	f.local, f.remote, f.dynamic = call.Forwards()
	f.cfg = tunnel.Config{
		Gateway: set.Yes("gatewayports"), Unlink: set.Yes("streamlocalbindunlink"), Told: s.tellFailures,
		Network: map[string]string{"inet": "tcp4", "inet6": "tcp6"}[set.Get("addressfamily")],
	}
	if text := set.Get("streamlocalbindmask"); text != "" {
		mask, err := strconv.ParseUint(text, 8, 9)
		if err != nil {
			return nil, &sshargs.Error{Text: "command-line line 0: Bad mask."}
		}
		f.cfg.Mask = int(mask)
	}
	var err error
	if f.cfg.Permit, err = sshargs.ParsePermit(set.All("permitremoteopen")); err != nil {
		return nil, err
	}
	for _, all := range [][]sshargs.Forward{f.local, f.remote, f.dynamic} {
		for i := range all {
			if err := s.expandPaths(call, &all[i]); err != nil {
				return nil, err
			}
		}
	}
	f.agent = s.sshAgent(call)
	return f, nil
}

// expandPaths replaces the tokens of the paths of Unix sockets.
func (s *surroundings) expandPaths(call *sshargs.Command, f *sshargs.Forward) (err error) {
	for _, path := range []*string{&f.Listen.Path, &f.Connect.Path} {
		if !strings.Contains(*path, "%") {
			continue
		}
		to := sshargs.Destination{Hostname: call.Host, User: call.Settings.Get("user")}
		if *path, err = s.expand(*path, call, to, call.Settings.Get("port")); err != nil {
			return err
		}
	}
	return nil
}

// tellPort says which port was chosen for -R, in ssh's words, which programs read.
func (s *surroundings) tellPort(d sshargs.Direction, f sshargs.Forward, at sshargs.Endpoint) {
	if d != sshargs.Remote || f.Listen.Path != "" || f.Listen.Port != 0 {
		s.ui.debug("-%c %s: listening on %s", d, f, at)
		return
	}
	to := f.Connect.String()
	if f.IsDynamic() {
		to = "socks:0"
	}
	if !s.ui.quiet {
		s.ui.raw(fmt.Sprintf("Allocated port %d for remote forward to %s\n", at.Port, to))
	}
}

// sshAgent connects to the ssh-agent that -A forwards; nil forwards none.
func (s *surroundings) sshAgent(call *sshargs.Command) func(context.Context) (net.Conn, error) {
	wanted, socket := call.Settings.Get("forwardagent"), s.getenv("SSH_AUTH_SOCK")
	if own := call.Settings.Get("identityagent"); own != "" && own != "SSH_AUTH_SOCK" {
		socket = s.namedSocket(own)
	}
	switch wanted {
	case "", "no":
		return nil
	case "yes":
	default:
		socket = s.namedSocket(wanted)
	}
	if socket == "" || socket == "none" {
		s.ui.debug("-A: there is no ssh-agent here")
		return nil
	}
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
}

// namedSocket is a path, or a variable that holds one.
func (s *surroundings) namedSocket(text string) string {
	if name, is := strings.CutPrefix(text, "$"); is {
		return s.getenv(strings.Trim(name, "{}"))
	}
	return s.homePath(text)
}

// sshOnly is -N and -W: signed in, with what is forwarded and nothing else.
func (s *surroundings) sshOnly(ctx context.Context, call *sshargs.Command, r *reach, source string, f *forwarding) error {
	if f.isEmpty() && call.Stdio == "" {
		return s.sshWait(ctx, call, r)
	}
	share, err := s.sshShare(call, r)
	if err != nil {
		return err
	}
	c, err := s.address(r, call.Host)
	if err != nil {
		return err
	}
	defer catchBrokenPipe()()
	ctx, stop := untilSignal(ctx)
	defer stop()
	if call.Stdio != "" && call.Settings.Get("exitonforwardfailure") == "" {
		f.strict = true
	}
	if _, err := f.begin(ctx, c, share, source); err != nil {
		return err
	}
	defer f.close()
	if f.set == nil {
		return Exit(codeTransport) // which was said
	}
	if isBackground() {
		if err := goToBackground(); err != nil {
			return err
		}
	}
	if call.Stdio != "" {
		return s.sshStdio(ctx, call, f)
	}
	return f.last(ctx)
}

// sshStdio is -W.
func (s *surroundings) sshStdio(ctx context.Context, call *sshargs.Command, f *forwarding) error {
	to, err := sshargs.ParseStdio(call.Stdio)
	if err != nil {
		return err
	}
	err = f.set.Stdio(ctx, to, s.stdin, s.stdout)
	exit, signalled := exitOf(ctx)
	var refused *tunnel.OpenError
	switch {
	case signalled:
		return exit
	case err == nil:
		return f.linger(ctx, s.ui)
	case isBrokenPipe(err):
		return otherExit{exitPipe}
	case errors.As(err, &refused): // which was told
		s.ui.line("stdio forwarding failed")
		return Exit(codeTransport)
	}
	return failWith(codeTransport, fmt.Errorf("the connection to %s broke: %w", to, err))
}
