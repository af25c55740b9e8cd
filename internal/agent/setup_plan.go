package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shellagent/config"
	"shellagent/internal/cli"
	"shellagent/internal/door"
	"shellagent/jwtauth"
	"shellagent/sources"
)

// plan is what a setup writes, checked before anything is written.
type plan struct {
	config, source string
	keys           []offered
	drafts         map[string][]byte // by path; none of the files is there
	loaded         *loaded           // with the drafts
}

// plan decides what to write, if anything.
func (s *setup) plan(ctx context.Context, keys []offered) (*plan, error) {
	p := &plan{config: s.config, source: s.source, keys: keys, drafts: make(map[string][]byte)}
	before, err := load(s.config)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !exists(s.config):
		err = s.first(p)
	case err != nil:
		return nil, fmt.Errorf("there is a configuration with mistakes, which have to be corrected first:\n%w", err)
	default:
		err = s.beside(ctx, p, before)
	}
	if err != nil {
		return nil, err
	}
	if p.loaded, err = loadWith(s.config, p.drafts); err != nil {
		return nil, err
	}
	return p, p.refused(ctx)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// first drafts the first configuration of a host.
func (s *setup) first(p *plan) error {
	if err := s.needUser(); err != nil {
		return err
	}
	address := s.listen
	if address == "" {
		address = defaultAddress
	}
	stateDir := s.stateDir
	if stateDir == "" && s.config != defaultConfig {
		// An agent of its own, beside the one that the host may have.
		stateDir = filepath.Join(filepath.Dir(s.config), "state")
	}
	p.drafts[s.config] = firstConfig(address, stateDir, s.newSource(keyEntries(p.keys, nil)))
	return nil
}

// needUser refuses to guess whom an agent that is root starts shells as.
func (s *setup) needUser() error {
	if s.user == "" && os.Geteuid() == 0 {
		return cli.Usage(errors.New("as whom? name the user whose shell it is to be: --user NAME"))
	}
	return nil
}

// beside drafts a source for a configuration that is there and has none of that
// name. One that has it is left as it is.
func (s *setup) beside(ctx context.Context, p *plan, before *loaded) error {
	if s.listen != "" && !slices.Equal(before.Listen.Address, []string{s.listen}) {
		return fmt.Errorf("%s is there, and listens on %s: setup changes no file that is there", s.config, strings.Join(before.Listen.Address, ", "))
	}
	if _, there := before.Sources[s.source]; there {
		return nil
	}
	if err := s.needUser(); err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(s.config), sourcesDir, s.source+".json")
	if exists(path) {
		return fmt.Errorf("%s is there without a source %q: setup changes no file that is there", path, s.source)
	}
	// Keys that open every source need not be in the list of this one, and must
	// not be in two.
	p.drafts[path] = sourceFile(s.newSource(nil))
	bare, err := loadWith(s.config, p.drafts)
	if err != nil {
		return err
	}
	open := opened(bare.policy.Summary(ctx, time.Now()), s.source)
	missing := slices.DeleteFunc(slices.Clone(p.keys), func(k offered) bool { return open[k.key.Thumbprint()] != nil })
	p.drafts[path] = sourceFile(s.newSource(keyEntries(missing, before.policy)))
	return nil
}

func (s *setup) newSource(keys []any) newSource {
	return newSource{name: s.source, user: s.user, shell: s.shell, keys: keys}
}

// keyEntries are keys as a list of verifyKeys has them. A key that stands for
// somebody already stands for them here too.
func keyEntries(keys []offered, known *sources.Policy) []any {
	var entries []any
	for _, k := range keys {
		line := k.key.AuthorizedKey(k.label)
		subject := ""
		if known != nil {
			subject = known.Subject(k.key.Thumbprint())
		}
		if subject == "" {
			entries = append(entries, line)
			continue
		}
		entries = append(entries, map[string]any{"subject": subject, "keys": []string{line}})
	}
	return entries
}

// opened are the keys of a source by thumbprint.
func opened(sum sources.Summary, source string) map[string]*sources.KeySummary {
	keys := make(map[string]*sources.KeySummary)
	for _, s := range sum.Sources {
		for _, k := range s.Keys {
			if s.Name == source {
				keys[k.Thumbprint] = &k
			}
		}
	}
	return keys
}

// refused says which keys the source does not let in, and what would. Its file
// is a person's.
func (p *plan) refused(ctx context.Context) error {
	open := opened(p.loaded.policy.Summary(ctx, time.Now()), p.source)
	var lines []string
	for _, k := range p.keys {
		switch found := open[k.key.Thumbprint()]; {
		case found == nil:
			lines = append(lines, fmt.Sprintf("the source %q is there and does not let %s in; add this to its verifyKeys: %s",
				p.source, k.key.Thumbprint(), quoted(k.key.AuthorizedKey(k.label))))
		case found.Refused != "":
			lines = append(lines, fmt.Sprintf("the source %q lists %s and refuses it: %s", p.source, k.key.Thumbprint(), found.Refused))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(append(lines, "setup changes no file that is there; agent check -c "+p.config+" tells what is in it"), "\n"))
}

func (p *plan) files() []string { return slices.AppendSeq([]string{}, maps.Keys(p.drafts)) }

// user is whom the source's sessions run as.
func (p *plan) user() string {
	for _, s := range p.loaded.policy.Summary(context.Background(), time.Now()).Sources {
		if s.Name == p.source {
			return s.User
		}
	}
	return ""
}

// write writes the drafts. A file that somebody made meanwhile stays.
func (p *plan) write() error {
	for path, text := range p.drafts {
		dir := filepath.Dir(path)
		mode := os.FileMode(0o755)
		if os.Geteuid() != 0 {
			mode = 0o700
		}
		if err := os.MkdirAll(dir, mode); err != nil {
			return err
		}
		if err := config.CheckPermissions(dir); err != nil {
			return err
		}
		if err := writeOnce(path, text); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// writeOnce writes a file whole, unless it is there.
func writeOnce(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".setup-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// hostKey returns the host key, which is made unless it is there.
func (p *plan) hostKey() (*jwtauth.PrivateKey, error) {
	dir := p.loaded.StateDir
	if key, err := loadHostKey(filepath.Join(dir, hostKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	lock, err := openState(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	key, _, err := hostKey(dir)
	return key, err
}

// tell has an agent that runs with this configuration take it over.
func (p *plan) tell(ctx context.Context) (running bool, err error) {
	var out reloaded
	err = door.Ask(ctx, p.loaded.StateDir, door.Request{Reload: &door.Reload{Config: p.config}}, &out)
	if errors.Is(err, door.ErrNoAgent) {
		return false, nil
	}
	return err == nil, err
}
