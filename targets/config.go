package targets

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"shellagent/config"
)

// Entry is one target as the client's file tells it. Every member may be
// absent.
type Entry struct {
	// Hostname is a name or an address; the entry's own name when empty.
	Hostname string `json:"hostname"`
	// Port is 4000 when 0.
	Port int `json:"port"`
	// PathPrefix is where a proxy serves the agent, as "/shellagent".
	PathPrefix string `json:"pathPrefix"`
	// Fingerprint is the host key's thumbprint or its OpenSSH "SHA256:…". With
	// it nobody is asked at first contact.
	Fingerprint string `json:"fingerprint"`
	// CAPath is a PEM file of certificate authorities for this target, instead
	// of the system's.
	CAPath string `json:"caPath"`
	// Source is used when the command line names none.
	Source string `json:"source"`
	// Share is the configuration's for this target alone; 0 is not to share.
	Share *time.Duration `json:"share"`
	// Jump are the hosts to go through, as ssh's -J has them: targets, or
	// source@host:port, the first of which is reached first, parted by commas.
	Jump string `json:"jump"`
}

// SigningCommand signs with a key that this program never sees: in an HSM, in Vault.
type SigningCommand struct {
	// Command is run without a shell: the signing input on its standard input,
	// the signature on its standard output.
	Command []string `json:"command"`
	// Key is the public half, as an OpenSSH line or in Etcha's form.
	Key string `json:"key"`
}

// Config is the client's configuration. The zero value knows no target and no
// key; it is what a missing file means. It is read only once loaded.
type Config struct {
	SigningKeyPath  string           `json:"signingKeyPath"`
	SigningCommands []SigningCommand `json:"signingCommands"`
	Targets         map[string]Entry `json:"targets"`
	// Groups are targets, hosts and other groups ("@NAME") under one name, for
	// [Config.Expand].
	Groups map[string][]string `json:"groups"`
	// Share is for how long a connection stays that has no session any more, for
	// those to come. Without it each call makes its own.
	Share *time.Duration `json:"share"`

	// A single file may hold the agent's part as well. It is the agent's to read.
	Listen         jsontext.Value `json:"listen"`
	StateDir       jsontext.Value `json:"stateDir"`
	Metrics        jsontext.Value `json:"metrics"`
	Log            jsontext.Value `json:"log"`
	Audit          jsontext.Value `json:"audit"`
	ReloadOnChange jsontext.Value `json:"reloadOnChange"`
	Exec           jsontext.Value `json:"exec"`
	Sources        jsontext.Value `json:"sources"`
	VerifyKeys     jsontext.Value `json:"verifyKeys"`
	VerifyKeysDir  jsontext.Value `json:"verifyKeysDir"`
	VerifyCommands jsontext.Value `json:"verifyCommands"`
	JWTRule        jsontext.Value `json:"jwtRule"`
	RevokedKeys    jsontext.Value `json:"revokedKeys"`

	// files are what was read, the deciding one first.
	files []string
}

// Paths are where the client's files are.
type Paths struct {
	// User and System are configuration files; the user's decides.
	User, System string
	// State is a directory of this user's alone.
	State string
}

// DefaultPaths follows the XDG base directory specification, in which a
// relative directory counts as unset. An entry is empty when there is no home.
func DefaultPaths(getenv func(string) string) Paths {
	home, _ := os.UserHomeDir()
	dir := func(variable, below string) string {
		if d := getenv(variable); filepath.IsAbs(d) {
			return filepath.Join(d, "shellagent")
		}
		if home == "" {
			return ""
		}
		return filepath.Join(home, filepath.FromSlash(below), "shellagent")
	}
	p := Paths{State: dir("XDG_STATE_HOME", ".local/state")}
	if d := dir("XDG_CONFIG_HOME", ".config"); d != "" {
		p.User = filepath.Join(d, "config.json")
	}
	if runtime.GOOS != "windows" {
		p.System = "/etc/shellagent/client.json"
	}
	return p
}

// KnownHosts is the file that remembers host keys, or empty.
func (p Paths) KnownHosts() string {
	if p.State == "" {
		return ""
	}
	return filepath.Join(p.State, "known_hosts")
}

// Load reads file alone, which must exist, or without one the user's file over
// the system's, each of which may be missing. A target or a group of the user's
// replaces the system's of that name whole, and so does the user's choice of key.
func Load(paths Paths, file string) (*Config, error) {
	if file != "" {
		return read(file)
	}
	c := &Config{Targets: map[string]Entry{}, Groups: map[string][]string{}}
	for _, path := range []string{paths.System, paths.User} {
		if path == "" {
			continue
		}
		over, err := read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.merge(over)
	}
	return c, nil
}

func (c *Config) merge(over *Config) {
	for name, entry := range over.Targets {
		c.Targets[name] = entry
	}
	maps.Copy(c.Groups, over.Groups)
	if over.SigningKeyPath != "" || len(over.SigningCommands) > 0 {
		c.SigningKeyPath, c.SigningCommands = over.SigningKeyPath, over.SigningCommands
	}
	if over.Share != nil {
		c.Share = over.Share
	}
	c.files = append(slices.Clone(over.files), c.files...)
}

func read(path string) (*Config, error) {
	c := &Config{files: []string{path}}
	f, err := config.Read(path, c)
	if err != nil {
		return nil, err
	}
	// Whoever can write the file can have a command run and a host trusted.
	if err := config.CheckPermissions(path); err != nil {
		return nil, err
	}
	if err := c.check(f); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	c.SigningKeyPath = resolve(dir, c.SigningKeyPath)
	for name, entry := range c.Targets {
		entry.CAPath = resolve(dir, entry.CAPath)
		c.Targets[name] = entry
	}
	return c, nil
}

// resolve makes a path of a file absolute: "~/" is the home, anything else
// relative is beside the file.
func resolve(dir, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// check reports every mistake, in the order of the targets' names.
func (c *Config) check(f *config.File) error {
	var mistakes []error
	if c.SigningKeyPath != "" && len(c.SigningCommands) > 0 {
		mistakes = append(mistakes, f.Errorf("/signingCommands", "signingKeyPath and signingCommands are both set; keep one"))
	}
	for i, s := range c.SigningCommands {
		at := fmt.Sprintf("/signingCommands/%d", i)
		if len(s.Command) == 0 || s.Command[0] == "" {
			mistakes = append(mistakes, f.Errorf(at, `no command; add "command": ["PROGRAM", "ARGUMENT"…]`))
		}
		if s.Key == "" {
			mistakes = append(mistakes, f.Errorf(at, `no key; add "key": "ssh-ed25519 AAAA…", the public half of what the command signs with`))
		}
	}
	if err := checkShare(c.Share); err != nil {
		mistakes = append(mistakes, f.Errorf("/share", "%v", err))
	}
	for _, name := range sortedNames(c.Targets) {
		at := "/targets/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if err := c.Targets[name].check(name); err != nil {
			mistakes = append(mistakes, f.Errorf(at+err.member, "%v", err.err))
		}
	}
	return errors.Join(append(mistakes, c.checkGroups(f)...)...)
}

// mistake is a wrong member of an entry.
type mistake struct {
	member string
	err    error
}

func (e Entry) check(name string) *mistake {
	if strings.ContainsAny(name, "@/ ,") {
		return &mistake{"", fmt.Errorf("%q cannot name a target; use no '@', '/', ',' or space", name)}
	}
	if err := checkTarget(name); err != nil {
		return &mistake{"", err}
	}
	if e.Port < 0 || e.Port > 65535 {
		return &mistake{"/port", fmt.Errorf("port %d is not between 1 and 65535", e.Port)}
	}
	if e.Source != "" {
		if err := checkSource(e.Source); err != nil {
			return &mistake{"/source", err}
		}
	}
	if e.Fingerprint != "" {
		if err := CheckFingerprint(e.Fingerprint); err != nil {
			return &mistake{"/fingerprint", err}
		}
	}
	if err := checkPrefix(e.PathPrefix); err != nil {
		return &mistake{"/pathPrefix", err}
	}
	if err := checkShare(e.Share); err != nil {
		return &mistake{"/share", err}
	}
	if _, err := e.baseURL(name, 0); err != nil {
		return &mistake{"/hostname", err}
	}
	if e.Jump == name {
		return &mistake{"/jump", fmt.Errorf("%s is to be reached through itself", name)}
	}
	return nil
}

func (e Entry) baseURL(name string, port int) (*url.URL, error) {
	host := e.Hostname
	if host == "" {
		host = name
	}
	for _, p := range []int{e.Port, DefaultPort} {
		if port == 0 {
			port = p
		}
	}
	return BaseURL(host, port, e.PathPrefix)
}

// Bounds of how long a connection stays that has no session any more.
const (
	MinShare = time.Second
	MaxShare = 24 * time.Hour
)

// CheckShare returns an error unless a connection may stay for d; 0 is not to
// share it.
func CheckShare(d time.Duration) error {
	if d != 0 && (d < MinShare || d > MaxShare) {
		return fmt.Errorf("a connection can be shared for %v to %v after its last session, not for %v; 0 shares none", MinShare, MaxShare, d)
	}
	return nil
}

func checkShare(d *time.Duration) error {
	if d == nil {
		return nil
	}
	return CheckShare(*d)
}

func sortedNames(m map[string]Entry) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
