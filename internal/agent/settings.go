package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/config"
	"shellagent/sources"
)

const (
	defaultConfig   = "/etc/shellagent/agent.json"
	defaultStateDir = "/var/lib/shellagent"
	defaultAddress  = ":4000"
)

// settings is the agent's configuration file.
type settings struct {
	Listen   listenSettings  `json:"listen"`
	StateDir string          `json:"stateDir"`
	Metrics  metricsSettings `json:"metrics"`
	Log      logSettings     `json:"log"`
	sources.Config

	// A single file may hold the client's part as well. It is the client's to read.
	SigningKeyPath  jsontext.Value `json:"signingKeyPath"`
	SigningCommands jsontext.Value `json:"signingCommands"`
	Targets         jsontext.Value `json:"targets"`
}

// listenSettings say where and how the agent is reached. They take effect at
// the start only, but for the certificate, which is read again when it changes.
type listenSettings struct {
	// Address is "host:port" or a list of such; ":4000" is every address, IPv6 and IPv4.
	Address addresses `json:"address"`
	// PathPrefix is the path below which the agent answers, such as "/shellagent".
	PathPrefix string `json:"pathPrefix"`
	// TrustedProxies are the addresses and networks whose X-Forwarded-For is believed.
	TrustedProxies []string `json:"trustedProxies"`
	// CertPath and KeyPath replace the leaf that the host key signs.
	CertPath string `json:"certPath"`
	KeyPath  string `json:"keyPath"`
	// User is whom the front runs as when the agent is root.
	User string `json:"user"`
}

// metricsSettings: no address, no metrics.
type metricsSettings struct {
	Address string `json:"address"`
}

type logSettings struct {
	// Format is "text" (the default) or "json".
	Format string `json:"format"`
	// Level is "debug", "info" (the default), "warn" or "error".
	Level string `json:"level"`
}

// addresses accepts one string or a list.
type addresses []string

// UnmarshalJSONFrom implements the decoding of one address or several.
func (a *addresses) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		var one string
		if err := json.UnmarshalDecode(d, &one); err != nil {
			return err
		}
		*a = addresses{one}
		return nil
	}
	return json.UnmarshalDecode(d, (*[]string)(a))
}

// loaded is a configuration that was read and found good.
type loaded struct {
	settings
	path   string
	policy *sources.Policy
	// proxies are the TrustedProxies.
	proxies []netip.Prefix
	// watch are the files and directories whose change asks for a reload.
	watch []string
}

// load reads the configuration file and the sources.d beside it. The error
// tells every mistake by file, line and column.
func load(path string) (*loaded, error) {
	l := &loaded{path: path, settings: settings{
		Listen: listenSettings{Address: addresses{defaultAddress}}, StateDir: defaultStateDir,
	}}
	file, err := config.Read(path, &l.settings)
	if err != nil {
		return nil, err
	}
	if err := config.CheckPermissions(path); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	l.watch = append(l.watch, path)
	files, err := l.addSourcesDir(filepath.Join(dir, "sources.d"))
	if err != nil {
		return nil, err
	}
	files = append([]*config.File{file}, files...)
	for _, p := range []*string{&l.StateDir, &l.Listen.CertPath, &l.Listen.KeyPath} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	own := l.check()
	l.policy, err = sources.New(l.Config, sources.Options{Dir: dir})
	if err := errors.Join(own, err); err != nil {
		return nil, config.Locate(err, files...)
	}
	l.watch = append(l.watch, l.policy.Files()...)
	return l, nil
}

// addSourcesDir merges the sources of sources.d/*.json, in the order of names.
func (l *loaded) addSourcesDir(dir string) (files []*config.File, err error) {
	l.watch = append(l.watch, dir)
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	if l.Sources == nil {
		l.Sources = make(map[string]sources.Source)
	}
	for _, name := range names {
		var more struct {
			Sources map[string]sources.Source `json:"sources"`
		}
		file, err := config.Read(name, &more)
		if err != nil {
			return nil, err
		}
		if err := config.CheckPermissions(name); err != nil {
			return nil, err
		}
		files = append(files, file)
		for s, source := range more.Sources {
			if _, twice := l.Sources[s]; twice {
				return nil, file.Errorf("/sources/"+s, "the source %q is configured twice: keep one of them", s)
			}
			l.Sources[s] = source
		}
	}
	return files, nil
}

// check finds what is wrong with the agent's own part.
func (l *loaded) check() error {
	var errs []error
	bad := func(pointer, format string, args ...any) {
		errs = append(errs, &settingError{pointer, fmt.Errorf(format, args...)})
	}
	if len(l.Listen.Address) == 0 {
		bad("/listen/address", "no address: give one such as %q", defaultAddress)
	}
	if p := l.Listen.PathPrefix; p != "" && (!strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "%?#\\ ") || strings.Contains(p, "//")) {
		bad("/listen/pathPrefix", "%q is not a path prefix: write it like /shellagent", p)
	}
	for i, text := range l.Listen.TrustedProxies {
		network, err := sources.ParseNetwork(text)
		if err != nil {
			bad("/listen/trustedProxies/"+strconv.Itoa(i), "%w", err)
		}
		l.proxies = append(l.proxies, network)
	}
	if (l.Listen.CertPath == "") != (l.Listen.KeyPath == "") {
		bad("/listen", "certPath and keyPath go together")
	}
	switch l.Log.Format {
	case "", "text", "json":
	default:
		bad("/log/format", "%q is not a log format: text or json", l.Log.Format)
	}
	switch l.Log.Level {
	case "", "debug", "info", "warn", "error":
	default:
		bad("/log/level", "%q is not a log level: debug, info, warn or error", l.Log.Level)
	}
	return errors.Join(errs...)
}

// settingError is a mistake at a place of the configuration.
type settingError struct {
	pointer string
	err     error
}

func (e *settingError) Error() string   { return e.err.Error() }
func (e *settingError) Unwrap() error   { return e.err }
func (e *settingError) Pointer() string { return e.pointer }

var _ config.PointerError = (*settingError)(nil)

// needsRestart names a setting that differs and is only read at the start.
func (l *loaded) needsRestart(next *loaded) string {
	switch {
	case !slices.Equal(l.Listen.Address, next.Listen.Address):
		return "listen.address"
	case l.Listen.PathPrefix != next.Listen.PathPrefix:
		return "listen.pathPrefix"
	case !slices.Equal(l.proxies, next.proxies):
		return "listen.trustedProxies"
	case l.Listen.User != next.Listen.User:
		return "listen.user"
	case (l.Listen.CertPath == "") != (next.Listen.CertPath == ""):
		return "listen.certPath"
	case l.StateDir != next.StateDir:
		return "stateDir"
	case l.Metrics != next.Metrics:
		return "metrics"
	case l.Log != next.Log:
		return "log"
	default:
		return ""
	}
}
