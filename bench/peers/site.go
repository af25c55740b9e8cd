package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"shellagent/internal/longline"
)

const (
	account = "shellagent-bench"
	// Prompt is what the user's shell prints when it waits for a command.
	Prompt = "bench-prompt> "
	shell  = "/bin/bash"
)

// Config says where the programs are.
type Config struct {
	// Agent and Client are this project's binaries.
	Agent, Client string
	// Root is the directory that scripts/peers.sh unpacked the others into.
	Root string
	// Addresses are where the servers listen besides 127.0.0.1.
	Addresses []netip.Addr
}

// Site is what all peers have in common on this machine: the user, the key, the
// directories. Close takes everything away again.
type Site struct {
	Config
	// Dir holds configurations and keys; only root may read it.
	Dir string
	// Files is a directory in memory that the user may write.
	Files string
	key   string // the private key; key+".pub" beside it
	home  string
	uid   uint32
	gid   uint32
	undo  []func()
}

// NewSite makes the user and the files. It needs root, for the user's sake.
func NewSite(c Config) (*Site, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the benchmark needs root: it makes a user, a network namespace and servers that start sessions as that user")
	}
	for _, needed := range []string{c.Agent, c.Client, filepath.Join(c.Root, "complete")} {
		if _, err := os.Stat(needed); err != nil {
			return nil, fmt.Errorf("%w: make build and make peers bring it", err)
		}
	}
	s := &Site{Config: c}
	if err := s.build(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Site) build() error {
	if err := s.lock(); err != nil {
		return err
	}
	for _, dir := range []*string{&s.Root, &s.Agent, &s.Client} {
		full, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = full
	}
	var err error
	if s.Dir, err = os.MkdirTemp("", "shellagent-bench-"); err != nil {
		return err
	}
	s.later(func() { os.RemoveAll(s.Dir) })
	if s.Files, err = os.MkdirTemp("/dev/shm", "shellagent-bench-"); err != nil {
		return err
	}
	s.later(func() { os.RemoveAll(s.Files) })
	s.key = filepath.Join(s.Dir, "key")
	if _, err := s.tool("usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", s.key); err != nil {
		return err
	}
	if err := s.makeUser(); err != nil {
		return err
	}
	return os.Chown(s.Files, int(s.uid), int(s.gid))
}

// lock keeps two benchmarks from disturbing each other.
func (s *Site) lock() error {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), account+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	s.later(func() { f.Close() })
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return nil
	}
	fmt.Fprintln(os.Stderr, "waiting for another benchmark on this machine to end")
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}

func (s *Site) makeUser() error {
	// What a run that was killed left behind.
	_ = exec.Command("userdel", "-r", account).Run()
	// "*" is a password that nothing matches; "!" would be a locked account.
	if err := run("useradd", "-m", "-U", "-s", shell, "-p", "*", account); err != nil {
		return err
	}
	s.later(func() { _ = exec.Command("userdel", "-r", "-f", account).Run() })
	u, err := user.Lookup(account)
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.uid, s.gid, s.home = uint32(uid), uint32(gid), u.HomeDir
	public, err := os.ReadFile(s.key + ".pub")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.home, ".ssh"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		".ssh/authorized_keys": string(public),
		".bash_profile":        "PS1='" + Prompt + "'\nunset HISTFILE\n",
		".hushlogin":           "",
	} {
		if err := os.WriteFile(filepath.Join(s.home, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Line opens a line to somewhere else, which [Site.Close] takes away before another
// benchmark may begin.
func (s *Site) Line(number int, delay time.Duration) (*longline.Line, error) {
	l, err := longline.Open(number, delay)
	if err == nil {
		s.later(l.Close)
	}
	return l, err
}

func (s *Site) later(f func()) { s.undo = append(s.undo, f) }

// Close stops every server and takes away what the site made.
func (s *Site) Close() {
	for len(s.undo) > 0 {
		last := len(s.undo) - 1
		s.undo[last]()
		s.undo = s.undo[:last]
	}
}

// tool runs a program of the unpacked packages.
func (s *Site) tool(name string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(s.Root, name), args...)
	cmd.Env = s.libraries(os.Environ())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// libraries lets unpacked programs find what they link.
func (s *Site) libraries(env []string) []string {
	dirs, _ := filepath.Glob(filepath.Join(s.Root, "usr/lib/*-linux-*"))
	return append(env, "LD_LIBRARY_PATH="+strings.Join(dirs, ":"))
}

// environment is that of the person at the client.
func (s *Site) environment() []string {
	return []string{
		"HOME=" + s.Dir, "XDG_CONFIG_HOME=" + filepath.Join(s.Dir, "config"), "XDG_STATE_HOME=" + filepath.Join(s.Dir, "state"),
		"PATH=" + os.Getenv("PATH"), "TERM=xterm", "LANG=C.UTF-8",
	}
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// write writes a file of the site's directory and returns its name.
func (s *Site) write(name, text string) (string, error) {
	full := filepath.Join(s.Dir, name)
	return full, os.WriteFile(full, []byte(text), 0o600)
}

// listen starts a server as a context allows and stops it when the site closes.
func (s *Site) listen(ctx context.Context, cmd *exec.Cmd, name, own string, port int) (*server, error) {
	running, err := serve(ctx, cmd, filepath.Join(s.Dir, name+".log"), own, port)
	if err != nil {
		return nil, err
	}
	s.later(running.stop)
	return running, nil
}
