package cli

import (
	"crypto/sha1" // the name of a connection, as ssh makes it: nothing rests on it
	"encoding/hex"
	"os"
	"strings"

	"shellagent/internal/localcommand"
	"shellagent/internal/sshargs"
	"shellagent/targets"
)

// sshLocal returns what runs LocalCommand, or nil: it has to be permitted.
func (s *surroundings) sshLocal(call *sshargs.Command, r *reach, source string) (func(), error) {
	line := call.Settings.Get("localcommand")
	if line == "" || line == "none" || !call.Settings.Yes("permitlocalcommand") {
		return nil, nil
	}
	line, err := s.expandFor(line, call, r, source)
	if err != nil {
		return nil, err
	}
	return func() {
		if err := localcommand.Run(s.getenv("SHELL"), line, s.stdin, s.stdout, s.stderr); err != nil {
			s.ui.warn("%v", err)
		}
	}, nil
}

// expandFor replaces the tokens of a line that is about a target.
func (s *surroundings) expandFor(line string, call *sshargs.Command, r *reach, source string) (string, error) {
	if !strings.Contains(line, "%") {
		return line, nil
	}
	to := sshargs.Destination{Hostname: call.Host, User: source}
	config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
	if err != nil {
		return "", Usage(err)
	}
	target, err := config.Target(call.Host, r.port)
	if err != nil {
		return "", err
	}
	if err := r.ssh.move(&target); err != nil {
		return "", err
	}
	to.Hostname = target.BaseURL.Hostname()
	return s.expand(line, call, to, target.BaseURL.Port())
}

// connectionHash is ssh's %C: of this host's name, the other's, port, user and jump.
func connectionHash(call *sshargs.Command, to sshargs.Destination, port string) (string, error) {
	here, err := os.Hostname()
	sum := sha1.Sum([]byte(here + to.Hostname + port + to.User + jumpOf(call)))
	return hex.EncodeToString(sum[:]), err
}

func jumpOf(call *sshargs.Command) string {
	if jump := call.Settings.Get("proxyjump"); jump != "none" {
		return jump
	}
	return ""
}
