package sink

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Types of sinks.
const (
	TypeFile          = "file"
	TypeJournald      = "journald"
	TypeSyslog        = "syslog"
	TypeHTTPS         = "https"
	TypeElasticsearch = "elasticsearch"
)

// Config is one sink as it is configured.
type Config struct {
	// Name tells sinks apart in metrics and logs, and goes with the position in
	// the trail; "" means the type.
	Name string `json:"name"`
	Type string `json:"type"`
	// Path is a file's: one line of JSON for each event.
	Path string `json:"path"`
	// Address is syslog's, "unix:/dev/log", "tcp:host:port" or "tls:host:port", or
	// the socket of journald ("" means its usual one).
	Address  string `json:"address"`
	Facility string `json:"facility"` // of syslog; "" means authpriv
	// URL is an HTTPS server's, or the root of an Elasticsearch.
	URL string `json:"url"`
	// Format is "ndjson" (the default) or "json", an array for each batch.
	Format string `json:"format"`
	// Index is the index or data stream; "" means shellagent-audit.
	Index string `json:"index"`
	// Output takes the output of sessions whose source drains it; nil means true.
	Output *bool `json:"output"`
	// Gzip compresses requests; nil means true.
	Gzip    *bool             `json:"gzip"`
	Headers map[string]string `json:"headers"`
	// BearerPath is a file with a token, BasicPath one with "user:password". Both
	// are read for every request.
	BearerPath string `json:"bearerPath"`
	BasicPath  string `json:"basicPath"`
	// CAPath replaces the system's authorities. CertPath and KeyPath are the
	// client's own certificate, if the server asks for one; they are read anew for
	// every connection.
	CAPath   string `json:"caPath"`
	CertPath string `json:"certPath"`
	KeyPath  string `json:"keyPath"`
	// Timeout is for one request or connection; 0 means 30 s.
	Timeout time.Duration `json:"timeout"`
	// Batch is how many events go at once; 0 means 500.
	Batch int `json:"batch"`
}

const (
	defaultTimeout = 30 * time.Second
	defaultBatch   = 500
	mostBatch      = 10_000
	batchBytes     = 1 << 20
	defaultIndex   = "shellagent-audit"
	defaultJournal = "/run/systemd/journal/socket"
)

// Rooted returns c with its paths below dir if they are relative, and its
// defaults filled in.
func (c Config) Rooted(dir string) Config {
	for _, p := range []*string{&c.Path, &c.BearerPath, &c.BasicPath, &c.CAPath, &c.CertPath, &c.KeyPath} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	set := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	set(&c.Name, c.Type)
	switch c.Type {
	case TypeJournald:
		set(&c.Address, defaultJournal)
	case TypeSyslog:
		set(&c.Facility, "authpriv")
	case TypeHTTPS:
		set(&c.Format, "ndjson")
	case TypeElasticsearch:
		set(&c.Index, defaultIndex)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Batch == 0 {
		c.Batch = defaultBatch
	}
	return c
}

// Mistake is what is wrong with a sink; Pointer names the value.
type Mistake struct {
	pointer string
	err     error
}

// Error says what is wrong, and the remedy.
func (m *Mistake) Error() string { return m.err.Error() }

// Pointer is a JSON pointer, for package config.
func (m *Mistake) Pointer() string { return m.pointer }

// Unwrap returns the error itself.
func (m *Mistake) Unwrap() error { return m.err }

// Compiled when needed: most of what the program is started for needs none.
var (
	nameForm  = compiled(`^[a-z0-9._-]{1,64}$`)
	indexForm = compiled(`^[a-z0-9][a-z0-9._-]{0,200}$`)
	tokenForm = compiled("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110 §5.6.2
)

func compiled(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// Check finds what is wrong with a rooted configuration that stands at a JSON
// pointer. The error joins every [*Mistake].
func (c Config) Check(pointer string) error {
	k := &checker{c: c, pointer: pointer}
	if !nameForm().MatchString(c.Name) || c.Name[0] == '.' {
		k.bad("name", "%q cannot name a sink: use 1 to 64 of a-z 0-9 . _ -", c.Name)
	}
	check, ok := checks[c.Type]
	if !ok {
		k.bad("type", "%q is no type of sink: file, journald, syslog, https or elasticsearch", c.Type)
		return errors.Join(k.errs...)
	}
	check(k)
	if c.Timeout < time.Second || c.Timeout > 10*time.Minute {
		k.bad("timeout", "the timeout is %v: use 1s to 10m", c.Timeout)
	}
	if c.Batch < 1 || c.Batch > mostBatch {
		k.bad("batch", "a batch of %d: use 1 to %d", c.Batch, mostBatch)
	}
	return errors.Join(k.errs...)
}

type checker struct {
	c       Config
	pointer string
	errs    []error
}

func (k *checker) bad(name, format string, args ...any) {
	k.errs = append(k.errs, &Mistake{k.pointer + "/" + name, fmt.Errorf(format, args...)})
}

// only refuses what has no meaning for this type of sink.
func (k *checker) only(names ...string) {
	given := map[string]bool{
		"path": k.c.Path != "", "address": k.c.Address != "", "facility": k.c.Facility != "", "url": k.c.URL != "",
		"format": k.c.Format != "", "index": k.c.Index != "", "gzip": k.c.Gzip != nil, "headers": k.c.Headers != nil,
		"bearerPath": k.c.BearerPath != "", "basicPath": k.c.BasicPath != "", "caPath": k.c.CAPath != "",
		"certPath": k.c.CertPath != "", "keyPath": k.c.KeyPath != "",
	}
	for _, n := range names {
		delete(given, n)
	}
	for name, is := range given {
		if is {
			k.bad(name, "%s means nothing to a sink of the type %s: remove it", name, k.c.Type)
		}
	}
}

var checks = map[string]func(*checker){
	TypeFile: func(k *checker) {
		k.only("path")
		if k.c.Path == "" {
			k.bad("type", "a file needs a path")
		}
	},
	TypeJournald: func(k *checker) { k.only("address") },
	TypeSyslog:   (*checker).syslog,
	TypeHTTPS: func(k *checker) {
		k.only("url", "format", "gzip", "headers", "bearerPath", "basicPath", "caPath", "certPath", "keyPath")
		k.http()
		if k.c.Format != "ndjson" && k.c.Format != "json" {
			k.bad("format", "%q is no format: ndjson or json", k.c.Format)
		}
	},
	TypeElasticsearch: func(k *checker) {
		k.only("url", "index", "gzip", "headers", "bearerPath", "basicPath", "caPath", "certPath", "keyPath")
		k.http()
		if !indexForm().MatchString(k.c.Index) {
			k.bad("index", "%q cannot name an index: use a-z 0-9 . _ -", k.c.Index)
		}
	},
}

func (k *checker) syslog() {
	network, address, ok := strings.Cut(k.c.Address, ":")
	switch network {
	case "tls":
		k.only("address", "facility", "caPath", "certPath", "keyPath")
		k.tls()
	default:
		k.only("address", "facility")
	}
	if _, known := facilities[k.c.Facility]; !known {
		k.bad("facility", "%q is no facility of syslog: authpriv, auth, daemon, local0 … local7", k.c.Facility)
	}
	var err error
	switch network {
	case "unix":
		ok = ok && filepath.IsAbs(address)
	case "tcp", "tls":
		_, _, err = net.SplitHostPort(address)
	default:
		ok = false
	}
	if !ok || err != nil {
		k.bad("address", "%q is no address of syslog: unix:/dev/log, tcp:HOST:PORT or tls:HOST:PORT", k.c.Address)
	}
}

func (k *checker) http() {
	u, err := url.Parse(k.c.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		k.bad("url", "%q is no URL of a server: write https://HOST/PATH, and credentials into a file (basicPath, bearerPath)", k.c.URL)
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		k.bad("url", "%q is not https, and the trail would be sent in the clear: only a server on this host may do without", k.c.URL)
	}
	for name, value := range k.c.Headers {
		if !tokenForm().MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			k.bad("headers", "%q is no header", name)
		}
	}
	if k.c.BearerPath != "" && k.c.BasicPath != "" {
		k.bad("bearerPath", "bearerPath and basicPath exclude each other")
	}
	k.readable("bearerPath", k.c.BearerPath)
	k.readable("basicPath", k.c.BasicPath)
	k.tls()
}

func (k *checker) tls() {
	if k.c.CAPath != "" {
		if _, err := authorities(k.c.CAPath); err != nil {
			k.bad("caPath", "%w", err)
		}
	}
	if (k.c.CertPath == "") != (k.c.KeyPath == "") {
		k.bad("certPath", "certPath and keyPath go together")
	}
	k.readable("certPath", k.c.CertPath)
	k.readable("keyPath", k.c.KeyPath)
}

func (k *checker) readable(name, path string) {
	if path == "" {
		return
	}
	if _, err := os.ReadFile(path); err != nil {
		k.bad(name, "%w", err)
	}
}

func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return pool, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
