package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"shellagent/bench/driver"
)

// OpenSSH is a server of OpenSSH's and its client, configured as they come but
// for files and addresses.
type OpenSSH struct {
	site   *Site
	name   string
	port   int
	server *server
	config string
	master bool
}

// StartOpenSSH starts two servers: one with the defaults, and one that takes
// more connections at once and holds nothing against who comes often.
func StartOpenSSH(ctx context.Context, s *Site) (*OpenSSH, *OpenSSH, error) {
	if err := s.separation(); err != nil {
		return nil, nil, err
	}
	if _, err := s.tool("usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.Dir, "ssh_host_key")); err != nil {
		return nil, nil, err
	}
	plain, err := s.sshd(ctx, "openssh", "")
	if err != nil {
		return nil, nil, err
	}
	raised, err := s.sshd(ctx, "openssh (raised limits)", "MaxStartups 5000\nPerSourcePenalties no\n")
	return plain, raised, err
}

// separation makes what sshd needs to give up its rights, where the system lacks it.
func (s *Site) separation() error {
	if exec.Command("getent", "passwd", "sshd").Run() != nil {
		if err := run("useradd", "-r", "-M", "-d", "/run/sshd", "-s", "/usr/sbin/nologin", "sshd"); err != nil {
			return err
		}
		s.later(func() { _ = exec.Command("userdel", "sshd").Run() })
	}
	return os.MkdirAll("/run/sshd", 0o755)
}

func (s *Site) sshd(ctx context.Context, name, more string) (*OpenSSH, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	o := &OpenSSH{site: s, name: name, port: port}
	host, err := publicKey(filepath.Join(s.Dir, "ssh_host_key"))
	if err != nil {
		return nil, err
	}
	lib := filepath.Join(s.Root, "usr/lib/openssh")
	var server, known strings.Builder
	fmt.Fprintf(&server, "Port %d\nListenAddress 127.0.0.1\nHostKey %s\nPidFile none\nSubsystem sftp internal-sftp\n", port, filepath.Join(s.Dir, "ssh_host_key"))
	fmt.Fprintf(&server, "SshdSessionPath %s/sshd-session\nSshdAuthPath %s/sshd-auth\n%s", lib, lib, more)
	fmt.Fprintf(&known, "[127.0.0.1]:%d %s\n", port, host)
	for _, a := range s.Addresses {
		fmt.Fprintf(&server, "ListenAddress %s\n", a)
		fmt.Fprintf(&known, "[%s]:%d %s\n", a, port, host)
	}
	serverFile, err := s.write(fmt.Sprintf("sshd_%d", port), server.String())
	if err != nil {
		return nil, err
	}
	knownFile, err := s.write(fmt.Sprintf("known_hosts_%d", port), known.String())
	if err != nil {
		return nil, err
	}
	client := fmt.Sprintf("Port %d\nUser %s\nIdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\nGlobalKnownHostsFile none\nControlPath %s\n",
		port, account, s.key, knownFile, o.socket())
	if o.config, err = s.write(fmt.Sprintf("ssh_%d", port), client); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(s.Root, "usr/sbin/sshd"), "-D", "-e", "-f", serverFile)
	cmd.Env = s.libraries(os.Environ())
	o.server, err = s.listen(ctx, cmd, fmt.Sprintf("sshd_%d", port), s.Root, port)
	return o, err
}

func (o *OpenSSH) socket() string { return filepath.Join(o.site.Dir, fmt.Sprintf("mux_%d", o.port)) }

// Name implements Peer.
func (o *OpenSSH) Name() string { return o.name }

// Command implements Peer.
func (o *OpenSSH) Command(a Ask) (driver.Command, error) {
	if a.Recorded != Unrecorded {
		return driver.Command{}, fmt.Errorf("openssh: %w", ErrNotOffered)
	}
	argv := []string{filepath.Join(o.site.Root, "usr/bin/ssh"), "-F", o.config}
	if a.Command != "" && a.Terminal {
		argv = append(argv, "-t")
	}
	switch a.Cover {
	case "on":
		argv = append(argv, "-o", "ObscureKeystrokeTiming=yes")
	case "off":
		argv = append(argv, "-o", "ObscureKeystrokeTiming=no")
	}
	if a.Compress {
		argv = append(argv, "-C")
	}
	if a.Cipher != "" {
		argv = append(argv, "-c", a.Cipher)
	}
	if a.Shared {
		if err := o.share(); err != nil {
			return driver.Command{}, err
		}
	} else {
		argv = append(argv, "-S", "none")
	}
	if a.Through != 0 {
		argv = append(argv, "-p", strconv.Itoa(a.Through), "-o", fmt.Sprintf("HostKeyAlias=[127.0.0.1]:%d", o.port))
	}
	host := "127.0.0.1"
	c := driver.Command{Env: o.site.libraries(o.site.environment())}
	if a.Line != nil {
		host, c.Start = a.Line.Near().String(), a.Line.Start
	}
	if argv = append(argv, host); a.Command != "" {
		argv = append(argv, a.Command)
	}
	c.Argv = argv
	return c, nil
}

// share makes the connection that clients share, once.
func (o *OpenSSH) share() error {
	if o.master {
		return nil
	}
	cmd := exec.Command(filepath.Join(o.site.Root, "usr/bin/ssh"), "-F", o.config, "-M", "-N", "127.0.0.1")
	cmd.Env = o.site.libraries(o.site.environment())
	if err := cmd.Start(); err != nil {
		return err
	}
	o.site.later(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(o.socket()); err == nil {
			o.master = true
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no shared connection within %v", startTime)
		}
	}
}

// Port is where the server listens on 127.0.0.1.
func (o *OpenSSH) Port() int { return o.port }

// Servers implements Peer.
func (o *OpenSSH) Servers() ([]int, error) { return o.server.processes() }

// Version returns what the client calls itself.
func (o *OpenSSH) Version() string {
	text, err := o.site.tool("usr/bin/ssh", "-V")
	if err != nil {
		return err.Error()
	}
	return text
}

// publicKey returns algorithm and key of the public half beside a private key.
func publicKey(private string) (string, error) {
	text, err := os.ReadFile(private + ".pub")
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return "", fmt.Errorf("%s.pub has %s fields", private, strconv.Itoa(len(fields)))
	}
	return fields[0] + " " + fields[1], nil
}
