package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"shellagent/internal/proxycommand"
	"shellagent/internal/sshargs"
	"shellagent/targets"
)

// sshReach is how an agent is reached as far as only ssh's command line can say.
// The zero value says nothing.
type sshReach struct {
	// hostname is where the target is, instead of where its name says.
	hostname string
	// forget: known_hosts is neither read nor written. strict: nobody is asked
	// about an agent that is met for the first time.
	forget, strict bool
	// identities are files to try before the configured keys, which are left out
	// with only.
	identities []string
	only       bool
	// fallback: the keys that ssh would try are the last resort.
	fallback bool
	// agent replaces SSH_AUTH_SOCK, if set; "none" is no agent.
	agent string
	// dial makes connections; nil means TCP's.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// jump is what dial goes through, or nil. straight: the configuration's is not
	// wanted either, since the command line says how the host is reached.
	jump     *jump
	straight bool
	// hops is how many hosts the way to this one has at least.
	hops int
}

// sshReach maps the settings to what this client has.
func (s *surroundings) sshReach(call *sshargs.Command) (*reach, error) {
	set := call.Settings
	r := &reach{connectTimeout: defaultConnectTimeout, cover: true, batch: set.Yes("batchmode")}
	if seconds, err := strconv.Atoi(set.Get("connecttimeout")); err == nil && seconds > 0 {
		r.connectTimeout = time.Duration(seconds) * time.Second
	}
	r.port, _ = strconv.Atoi(set.Get("port"))
	level := set.Get("loglevel")
	r.quiet = slices.Contains([]string{"QUIET", "FATAL", "ERROR"}, level)
	r.verbose = strings.HasPrefix(level, "DEBUG")
	switch set.Get("stricthostkeychecking") {
	case "accept-new", "no":
		r.acceptNew = true
	case "yes":
		r.ssh.strict = true
	}
	r.ssh.forget = slices.Equal(set.All("userknownhostsfile"), []string{os.DevNull})
	r.ssh.hostname = strings.ReplaceAll(set.Get("hostname"), "%h", call.Host)
	r.ssh.fallback = true
	r.ssh.only = set.Yes("identitiesonly")
	r.ssh.agent = set.Get("identityagent")
	r.ssh.identities = s.identityFiles(call)
	var err error
	if r.config, err = sshConfig(call.ConfigFile); err != nil {
		return nil, err
	}
	if r.ssh.jump, err = s.sshJump(call, r); err != nil {
		return nil, err
	}
	for _, keyword := range []string{"proxyjump", "proxycommand"} {
		r.ssh.straight = r.ssh.straight || set.Get(keyword) != ""
	}
	if r.ssh.jump != nil {
		r.ssh.dial = r.ssh.jump.dial
	} else {
		r.ssh.dial = s.sshDial(call)
	}
	return r, nil
}

// sshConfig returns the file of -F if it is a client configuration: one of
// OpenSSH's says nothing here.
func sshConfig(path string) (string, error) {
	if path == "" || path == "none" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot open the configuration file: %w", err)
	}
	content = bytes.TrimSpace(content)
	if bytes.HasPrefix(content, []byte("{")) || bytes.HasPrefix(content, []byte("//")) || bytes.HasPrefix(content, []byte("/*")) {
		return path, nil
	}
	return "", nil
}

// identityFiles are those of -i that exist, as ssh tries no others.
func (s *surroundings) identityFiles(call *sshargs.Command) []string {
	var files []string
	for _, file := range call.Settings.All("identityfile") {
		if file == "none" {
			continue
		}
		file = s.homePath(file)
		if _, err := os.Stat(file); err != nil {
			s.ui.warn("identity file %s is not accessible: %v", file, err)
			continue
		}
		files = append(files, file)
	}
	return files
}

// homePath expands "~/" and "%d/".
func (s *surroundings) homePath(path string) string {
	for _, prefix := range []string{"~/", "%d/"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			if home, err := os.UserHomeDir(); err == nil {
				return filepath.Join(home, rest)
			}
		}
	}
	return path
}

// move puts a target where HostName says that it is.
func (x *sshReach) move(t *targets.Target) error {
	if x.hostname == "" {
		return nil
	}
	port, _ := strconv.Atoi(t.BaseURL.Port())
	base, err := targets.BaseURL(x.hostname, port, t.BaseURL.Path)
	if err != nil {
		return fmt.Errorf("HostName: %w", err)
	}
	t.BaseURL = base
	return nil
}

// keys returns the keys to try: with several files, those that can be used.
func (x *sshReach) keys(ctx context.Context, u *ui, o targets.IdentityOptions) ([]targets.Identity, error) {
	switch {
	case x.agent == "none":
		o.AgentSocket = ""
	case x.agent != "" && x.agent != "SSH_AUTH_SOCK":
		o.AgentSocket = x.agent
	}
	var found []targets.Identity
	var failed error
	try := func(o targets.IdentityOptions) {
		keys, err := targets.Identities(ctx, o)
		if err != nil {
			failed = errors.Join(failed, err)
		}
		found = append(found, keys...)
	}
	for _, file := range x.identities {
		o := o
		o.File = file
		try(o)
	}
	if len(found) > 0 {
		o.Passphrase = nil // nobody is asked for keys that nobody named
	}
	if !x.only || len(found) == 0 {
		try(o)
	}
	if len(found) == 0 && x.fallback {
		for _, file := range sshDefaultKeys() {
			o := o
			o.File = file
			try(o)
		}
	}
	if len(found) == 0 {
		return nil, failed
	}
	if failed != nil {
		u.debug("keys that cannot be used: %v", failed)
	}
	return found, nil
}

// sshDefaultKeys are the files that ssh tries and that exist, the shortest
// signature first.
func sshDefaultKeys() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	var files []string
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		file := filepath.Join(home, ".ssh", name)
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		}
	}
	return files
}

// sshDial makes connections as the settings say; nil is as usual.
func (s *surroundings) sshDial(call *sshargs.Command) func(context.Context, string, string) (net.Conn, error) {
	set := call.Settings
	if line := set.Get("proxycommand"); line != "" && line != "none" {
		return func(ctx context.Context, _, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			expanded, err := s.expand(line, call, sshargs.Destination{Hostname: host, User: set.Get("user")}, port)
			if err != nil {
				return nil, err
			}
			return proxycommand.Dial(ctx, s.getenv("SHELL"), expanded, s.stderr)
		}
	}
	network := map[string]string{"inet": "tcp4", "inet6": "tcp6"}[set.Get("addressfamily")]
	from := set.Get("bindaddress")
	if network == "" && from == "" {
		return nil
	}
	return func(ctx context.Context, usual, address string) (net.Conn, error) {
		d := net.Dialer{KeepAlive: 15 * time.Second}
		if from != "" {
			local, err := net.ResolveTCPAddr(usual, net.JoinHostPort(from, "0"))
			if err != nil {
				return nil, fmt.Errorf("bind address %s: %w", from, err)
			}
			d.LocalAddr = local
		}
		if network != "" {
			usual = network
		}
		return d.DialContext(ctx, usual, address)
	}
}
