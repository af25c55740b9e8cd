package agent

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/config"
	"shellagent/internal/listen"
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
	// Audit is the trail of who did what.
	Audit auditSettings `json:"audit"`
	// ReloadOnChange reads the files again when one changes; nil means true. With
	// false it takes a signal or an operator, who may want a trial.
	ReloadOnChange *bool `json:"reloadOnChange"`
	sources.Config

	// A single file may hold the client's part as well. It is the client's to read.
	SigningKeyPath  jsontext.Value `json:"signingKeyPath"`
	Share           jsontext.Value `json:"share"`
	SigningCommands jsontext.Value `json:"signingCommands"`
	Targets         jsontext.Value `json:"targets"`
	Groups          jsontext.Value `json:"groups"`
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
	if a := l.Metrics.Address; a != "" {
		if err := listen.Check(a); err != nil {
			bad("/metrics/address", "%w", err)
		}
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
	sinks := l.checkAudit(bad)
	return errors.Join(append(errs, sinks)...)
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

// needRestart names the settings that differ and are only read at the start.
func (l *loaded) needRestart(next *loaded) []string {
	var names []string
	differ := func(name string, differs bool) {
		if differs {
			names = append(names, name)
		}
	}
	differ("listen.address", !slices.Equal(l.Listen.Address, next.Listen.Address))
	differ("listen.pathPrefix", l.Listen.PathPrefix != next.Listen.PathPrefix)
	differ("listen.trustedProxies", !slices.Equal(l.Listen.TrustedProxies, next.Listen.TrustedProxies))
	differ("listen.user", l.Listen.User != next.Listen.User)
	differ("listen.certPath", (l.Listen.CertPath == "") != (next.Listen.CertPath == ""))
	differ("stateDir", l.StateDir != next.StateDir)
	differ("metrics", l.Metrics != next.Metrics)
	differ("log", l.Log != next.Log)
	differ("audit", l.keepsTrail() != next.keepsTrail())
	differ("audit.dir", l.Audit.Dir != next.Audit.Dir)
	differ("audit.maxBytes", l.Audit.MaxBytes != next.Audit.MaxBytes)
	return names
}
