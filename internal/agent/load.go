package agent

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"

	"shellagent/broker"
	"shellagent/config"
	"shellagent/sources"
)

// loaded is a configuration that was read and found good.
type loaded struct {
	settings
	path   string
	policy *sources.Policy
	// proxies are the TrustedProxies.
	proxies []netip.Prefix
	// certificate is listen.certPath's; nil when there is none.
	certificate *broker.Certificate
	// watch are the files and directories whose change asks for a reload.
	watch []string
}

// load reads the configuration file and the sources.d beside it. The error
// tells every mistake by file, line and column.
func load(path string) (*loaded, error) { return loadWith(path, nil) }

// loadWith is load for files that are not written yet: drafts are their texts
// by path.
func loadWith(path string, drafts map[string][]byte) (*loaded, error) {
	l := &loaded{path: path, settings: settings{
		Listen: listenSettings{Address: addresses{defaultAddress}}, StateDir: defaultStateDir,
	}}
	file, err := readFile(path, drafts, &l.settings)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	l.watch = append(l.watch, path)
	files, err := l.addSourcesDir(filepath.Join(dir, sourcesDir), drafts)
	if err != nil {
		return nil, err
	}
	files = append([]*config.File{file}, files...)
	for _, p := range []*string{&l.StateDir, &l.Listen.CertPath, &l.Listen.KeyPath} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	l.rootAudit(dir)
	own := l.check()
	l.policy, err = sources.New(l.Config, sources.Options{Dir: dir})
	if err := errors.Join(own, l.readCertificate(), err); err != nil {
		return nil, config.Locate(err, files...)
	}
	l.watch = append(l.watch, l.policy.Files()...)
	return l, nil
}

// sourcesDir is beside the configuration: more sources, a file for each or several.
const sourcesDir = "sources.d"

// readFile reads a file of the configuration, or its draft.
func readFile(path string, drafts map[string][]byte, into any) (*config.File, error) {
	if text, ok := drafts[path]; ok {
		return config.Decode(path, text, into)
	}
	file, err := config.Read(path, into)
	if err != nil {
		return nil, err
	}
	return file, config.CheckPermissions(path)
}

// addSourcesDir merges the sources of sources.d/*.json, in the order of names.
func (l *loaded) addSourcesDir(dir string, drafts map[string][]byte) (files []*config.File, err error) {
	l.watch = append(l.watch, dir)
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for draft := range drafts {
		if filepath.Dir(draft) == dir {
			names = append(names, draft)
		}
	}
	slices.Sort(names)
	if l.Sources == nil {
		l.Sources = make(map[string]sources.Source)
	}
	for _, name := range slices.Compact(names) {
		var more struct {
			Sources map[string]sources.Source `json:"sources"`
		}
		file, err := readFile(name, drafts, &more)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
		for s, source := range more.Sources {
			if _, twice := l.Sources[s]; twice {
				return nil, file.Errorf(config.Pointer("sources", s), "the source %q is configured twice: keep one of them", s)
			}
			l.Sources[s] = source
		}
	}
	return files, nil
}

// readCertificate reads listen.certPath and keyPath, if they are given.
func (l *loaded) readCertificate() error {
	if l.Listen.CertPath == "" || l.Listen.KeyPath == "" {
		return nil
	}
	var err error
	if l.certificate, err = readCertificate(l.Listen.CertPath, l.Listen.KeyPath); err != nil {
		return &settingError{"/listen/certPath", err}
	}
	l.watch = append(l.watch, l.Listen.CertPath, l.Listen.KeyPath)
	return nil
}
