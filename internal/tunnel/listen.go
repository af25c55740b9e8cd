package tunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"

	"shellagent/internal/sshargs"
)

// defaultMask keeps a Unix socket to its user, as ssh_config(5)'s StreamLocalBindMask.
const defaultMask = 0o177

// listen returns all that is to be listened on for an endpoint, and the endpoint
// with the port that was chosen.
func (s *Set) listen(at sshargs.Endpoint) ([]net.Listener, sshargs.Endpoint, error) {
	if at.Path != "" {
		line, err := s.listenUnix(at.Path)
		if err != nil {
			return nil, at, fmt.Errorf("cannot listen on %s: %w", at.Path, plain(err))
		}
		return []net.Listener{line}, at, nil
	}
	var lines []net.Listener
	var failed error
	hosts := s.hosts(at.Host)
	if len(hosts) == 1 {
		at.Host = hosts[0]
	} else {
		at.Host = "localhost"
	}
	for _, host := range hosts {
		line, err := net.Listen(s.network(), net.JoinHostPort(host, strconv.Itoa(at.Port)))
		if err != nil {
			if len(hosts) == 1 || !isAbsent(err) {
				failed = errors.Join(failed, fmt.Errorf("cannot listen on %s: %w", net.JoinHostPort(host, strconv.Itoa(at.Port)), plain(err)))
			}
			continue
		}
		lines = append(lines, line)
		if tcp, ok := line.Addr().(*net.TCPAddr); ok {
			at.Port = tcp.Port // which the next address is to have, too
		}
	}
	if at.Host == "" {
		at.Host = "*"
	}
	return lines, at, failed
}

func (s *Set) network() string {
	if s.cfg.Network != "" {
		return s.cfg.Network
	}
	return "tcp"
}

// hosts are the addresses that a name to listen on means; "" is all.
func (s *Set) hosts(name string) []string {
	switch {
	case name == "*", name == "" && s.cfg.Gateway:
		return []string{""}
	case name != "" && name != "localhost":
		return []string{name}
	case s.cfg.Network == "tcp4":
		return []string{"127.0.0.1"}
	case s.cfg.Network == "tcp6":
		return []string{"::1"}
	}
	return []string{"127.0.0.1", "::1"}
}

func (s *Set) listenUnix(path string) (net.Listener, error) {
	if s.cfg.Unlink {
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
			_ = os.Remove(path)
		}
	}
	mask := s.cfg.Mask
	if mask == 0 {
		mask = defaultMask
	}
	var line net.Listener
	err := withMask(mask, func() (err error) {
		line, err = net.Listen("unix", path)
		return err
	})
	return line, err
}

// plain is an error without the address, which the person is told already.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}
