package targets

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Target is an agent as the client reaches it.
type Target struct {
	// Name is what the person calls it.
	Name string
	// BaseURL is in the form of [BaseURL].
	BaseURL *url.URL
	// Source is the target's own, or empty.
	Source string
	// Fingerprint is the only host key to accept, or empty.
	Fingerprint string
	// CAPath replaces the system's certificate authorities, unless empty.
	CAPath string
	// Share is for how long a connection to it stays that has no session any
	// more; 0 is not to share connections.
	Share time.Duration
	// Jump is [Entry.Jump].
	Jump string
}

// Target returns the target that the configuration has under this name, else
// the host that the name itself is. A port above 0 replaces the target's.
func (c *Config) Target(name string, port int) (Target, error) {
	if err := checkTarget(name); err != nil {
		return Target{}, err
	}
	if entry, ok := c.Targets[name]; ok {
		base, err := entry.baseURL(name, port)
		if err != nil {
			return Target{}, fmt.Errorf("target %s: %w", name, err)
		}
		return Target{
			Name: name, BaseURL: base, Source: entry.Source,
			Fingerprint: entry.Fingerprint, CAPath: entry.CAPath, Share: firstOf(entry.Share, c.Share), Jump: entry.Jump,
		}, nil
	}
	base, err := ParseHost(name, port)
	if err != nil {
		return Target{}, fmt.Errorf("no target of that name in %s, and not a host: %w", c.where(), err)
	}
	return Target{Name: name, BaseURL: base, Share: firstOf(c.Share)}, nil
}

// firstOf returns the first time span that was given, else 0.
func firstOf(given ...*time.Duration) time.Duration {
	for _, d := range given {
		if d != nil {
			return *d
		}
	}
	return 0
}

// Has reports whether the configuration has a target of this name.
func (c *Config) Has(name string) bool {
	_, ok := c.Targets[name]
	return ok
}

// Names returns the names of the configured targets, sorted.
func (c *Config) Names() []string { return sortedNames(c.Targets) }

// SourceNames returns the sources that the targets name, sorted.
func (c *Config) SourceNames() []string {
	var names []string
	for _, entry := range c.Targets {
		if entry.Source != "" {
			names = append(names, entry.Source)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *Config) where() string {
	if len(c.files) == 0 {
		return "the client's configuration (there is none yet)"
	}
	return strings.Join(c.files, " or ")
}

// PickSource returns the given source, else the target's own.
func (t Target) PickSource(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	if t.Source == "" {
		return "", fmt.Errorf(`which source of %s? say SOURCE@%s, or set "source" for this target in the client's configuration`, t.Name, t.Name)
	}
	return t.Source, nil
}

// digestLength is that of a SHA-256 digest in base64 without padding.
const digestLength = 43

// CheckFingerprint returns an error unless s has the form of a key's
// thumbprint (RFC 7638, 43 characters) or of OpenSSH's "SHA256:…".
func CheckFingerprint(s string) error {
	const letters = upper + lower + digits
	openssh, is := strings.CutPrefix(s, "SHA256:")
	if is && len(openssh) == digestLength && made(openssh, letters+"+/", digestLength) {
		return nil
	}
	if len(s) == digestLength && made(s, letters+"-_", digestLength) {
		return nil
	}
	return errors.New(`not a fingerprint: use the 43 characters or the "SHA256:…" that the agent's owner sees with agent keys fingerprint`)
}
