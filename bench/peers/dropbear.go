package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"shellagent/bench/driver"
)

// Dropbear is dropbear and its client, the small SSH of embedded systems.
type Dropbear struct {
	site   *Site
	port   int
	key    string
	server *server
}

// StartDropbear starts the server with its defaults.
func StartDropbear(ctx context.Context, s *Site) (*Dropbear, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	d := &Dropbear{site: s, port: port, key: filepath.Join(s.Dir, "dropbear_key")}
	if _, err := s.tool("usr/bin/dropbearconvert", "openssh", "dropbear", s.key, d.key); err != nil {
		return nil, err
	}
	host := filepath.Join(s.Dir, "dropbear_host_key")
	if _, err := s.tool("usr/bin/dropbearkey", "-t", "ed25519", "-f", host); err != nil {
		return nil, err
	}
	args := []string{"-F", "-E", "-m", "-r", host, "-P", filepath.Join(s.Dir, "dropbear.pid"), "-p", fmt.Sprintf("127.0.0.1:%d", port)}
	for _, a := range s.Addresses {
		args = append(args, "-p", fmt.Sprintf("%s:%d", a, port))
	}
	cmd := exec.Command(filepath.Join(s.Root, "usr/sbin/dropbear"), args...)
	cmd.Env = s.libraries(os.Environ())
	d.server, err = s.listen(ctx, cmd, "dropbear", s.Root, port)
	return d, err
}

// Name implements Peer.
func (d *Dropbear) Name() string { return "dropbear" }

// Command implements Peer.
func (d *Dropbear) Command(a Ask) (driver.Command, error) {
	if a.Shared || a.Compress || a.Cover == "on" || a.Cipher != "" || a.Many || a.Recorded != Unrecorded {
		return driver.Command{}, fmt.Errorf("dropbear: %w", ErrNotOffered)
	}
	argv := []string{filepath.Join(d.site.Root, "usr/bin/dbclient"), "-y", "-y", "-i", d.key, "-p", strconv.Itoa(d.port), "-l", account}
	if a.Command != "" && a.Terminal {
		argv = append(argv, "-t")
	}
	host := "127.0.0.1"
	c := driver.Command{Env: d.site.libraries(d.site.environment())}
	if a.Line != nil {
		host, c.Start = a.Line.Near().String(), a.Line.Start
	}
	if argv = append(argv, host); a.Command != "" {
		argv = append(argv, a.Command)
	}
	c.Argv = argv
	return c, nil
}

// Servers implements Peer.
func (d *Dropbear) Servers() ([]int, error) { return d.server.processes() }
