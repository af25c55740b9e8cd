package targets

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	// DefaultPort is an agent's port where none is given.
	DefaultPort = 4000
	// urlPort is the port of "https://host/prefix": what stands before such an
	// agent is a proxy, and a URL means what it means everywhere.
	urlPort = 443

	maxSource = 64
	maxHost   = 253 // RFC 1035 §2.3.4, without the last dot
	maxZone   = 64
	maxPrefix = 256
)

// SplitAddress reads "TARGET", "SOURCE@TARGET" or the two words "SOURCE
// TARGET". source is empty when none was given.
func SplitAddress(words ...string) (source, target string, err error) {
	switch len(words) {
	case 1:
		before, after, found := strings.Cut(words[0], "@")
		if !found {
			return "", before, checkTarget(before)
		}
		source, target = before, after
	case 2:
		source, target = words[0], words[1]
		if strings.Contains(target, "@") {
			return "", "", fmt.Errorf("the source is given twice: %q and %q", source, target)
		}
	default:
		return "", "", errors.New("name one target: SOURCE TARGET or SOURCE@TARGET")
	}
	if err := checkSource(source); err != nil {
		return "", "", err
	}
	return source, target, checkTarget(target)
}

func checkSource(source string) error {
	if !made(source, lower+digits+"._-", maxSource) {
		return fmt.Errorf("%q is not a source: use 1 to 64 of a-z, 0-9, '.', '_' and '-'", source)
	}
	return nil
}

func checkTarget(target string) error {
	if target == "" {
		return errors.New("the target is empty: name a host or an entry of targets")
	}
	if strings.HasPrefix(target, "-") {
		return fmt.Errorf("%q is not a target: a name does not start with '-'", target)
	}
	return nil
}

// ParseHost reads a host as it is typed — name, name:port, address,
// [v6]:port, https://host:port/prefix — and returns its base URL in the one
// form that known_hosts is keyed by: lower case, the port always there, no
// slash at the end. A port that is not given is 4000, and 443 in a URL, unless
// the port argument is above 0.
func ParseHost(typed string, port int) (*url.URL, error) {
	rest, prefix := typed, ""
	fallback := DefaultPort
	if scheme, after, found := strings.Cut(typed, "://"); found {
		if !strings.EqualFold(scheme, "https") {
			return nil, fmt.Errorf("%q: an agent speaks https only", typed)
		}
		fallback = urlPort
		rest = after
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			rest, prefix = rest[:i], rest[i:]
		}
		// In a URL the zone of an IPv6 address is escaped (RFC 6874 §2).
		if strings.HasPrefix(rest, "[") {
			rest = strings.Replace(rest, "%25", "%", 1)
		}
	}
	if port > 0 {
		fallback = port
	}
	host, given, err := splitPort(rest)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", typed, err)
	}
	if given != 0 && port == 0 {
		fallback = given
	}
	base, err := BaseURL(host, fallback, strings.TrimRight(prefix, "/"))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", typed, err)
	}
	return base, nil
}

// splitPort returns port 0 when there is none. The brackets of an IPv6 address
// may be left away where no port follows.
func splitPort(s string) (host string, port int, err error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, 0, nil
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		return s[1 : len(s)-1], 0, nil
	}
	if !strings.Contains(s, ":") {
		return s, 0, nil
	}
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, errors.New("write a host as name, name:port, [address]:port or https://host/prefix")
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 || text[0] == '+' {
		return "", 0, fmt.Errorf("%q is not a port: use 1 to 65535", text)
	}
	return host, port, nil
}

// BaseURL makes the URL below which an agent answers. host is a name or an
// address without brackets; pathPrefix is empty or "/…" of plain segments.
func BaseURL(host string, port int, pathPrefix string) (*url.URL, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("port %d is not between 1 and 65535", port)
	}
	if err := checkPrefix(pathPrefix); err != nil {
		return nil, err
	}
	host, err := canonicalHost(host)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(port)), Path: pathPrefix}, nil
}

func canonicalHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if zone := addr.Zone(); zone != "" && !made(zone, lower+upper+digits+"._-", maxZone) {
			return "", fmt.Errorf("%q is not the name of an interface", zone)
		}
		return addr.String(), nil
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if !made(name, lower+digits+"._-", maxHost) || strings.Contains(name, "..") || strings.ContainsAny(name[:1]+name[len(name)-1:], ".-") {
		return "", fmt.Errorf("%q is not a host: use a name of letters, digits, '-' and '.', or an address", host)
	}
	return name, nil
}

// checkPrefix keeps to what the agent accepts: a path that no proxy rewrites.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if !made(prefix, lower+upper+digits+"/._~-", maxPrefix) || prefix[0] != '/' || strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "//") {
		return fmt.Errorf("path prefix %q must be like /shellagent: plain segments, no escapes, no slash at the end", prefix)
	}
	for _, segment := range strings.Split(prefix[1:], "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("path prefix %q must not contain %q", prefix, segment)
		}
	}
	return nil
}
