package sources

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"shellagent/shell"
)

// maxDestinations bounds the rules of one direction of one source.
const maxDestinations = 256

// ParseDestination reads a rule of localForward or remoteForward: "db:5432",
// "*.example.org:443", "10.0.0.0/8:8000-9000", "[::1]:*", "*:*", or the absolute
// path of a socket, in which * and ? stand for what is not a slash.
func ParseDestination(text string) (shell.Destination, error) {
	if strings.HasPrefix(text, "/") {
		return parseSocket(text)
	}
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return shell.Destination{}, fmt.Errorf(`%q has no port; write %q for one, or %q for all of them`, text, text+":443", text+":*")
	}
	d, err := parseHost(text[:at])
	if err != nil {
		return d, fmt.Errorf("%q: %w", text, err)
	}
	if d.Low, d.High, err = parsePorts(text[at+1:]); err != nil {
		return d, fmt.Errorf("%q: %w", text, err)
	}
	return d, nil
}

func parseSocket(text string) (d shell.Destination, err error) {
	_, err = path.Match(text, "")
	switch {
	case err != nil:
		return d, fmt.Errorf("%q is not a pattern of paths: %w", text, err)
	case path.Clean(text) != text || strings.IndexByte(text, 0) >= 0:
		return d, fmt.Errorf("%q is not a plain absolute path; write %q", text, path.Clean(text))
	}
	return shell.Destination{Path: text}, nil
}

func parseHost(host string) (d shell.Destination, err error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(host, ":") {
			return d, errors.New("brackets are for an IPv6 address, such as [::1] or [2001:db8::/32]")
		}
	} else if strings.Contains(host, ":") {
		return d, fmt.Errorf("write an IPv6 address in brackets: [%s]", host)
	}
	if strings.Contains(host, "/") {
		d.Prefix, err = netip.ParsePrefix(host)
		switch {
		case err != nil:
			return d, fmt.Errorf("%s is not a network such as 10.0.0.0/8", host)
		case d.Prefix != d.Prefix.Masked():
			return d, fmt.Errorf("%s has an address within a network; write %s", host, d.Prefix.Masked())
		}
		return d, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" || a.Is4In6() || a.IsUnspecified() {
			return d, fmt.Errorf("%s is not an address that a connection can be held to; write it without a zone, IPv4 as such, and * for every address", host)
		}
		d.Prefix = netip.PrefixFrom(a, a.BitLen())
		return d, nil
	}
	d.Host = host
	return d, checkHostName(host)
}

// checkHostName takes names as DNS has them, in lower case, with * for all names or
// for one label or more at the beginning.
func checkHostName(host string) error {
	if host == "*" {
		return nil
	}
	labels := strings.Split(strings.TrimPrefix(host, "*."), ".")
	if last := labels[len(labels)-1]; last != "" && strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("%s is neither an address nor a name", host)
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || len(host) > 253 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return fmt.Errorf("%q is not a host's name; use a-z 0-9 . - _, and * alone or as *.example.org", host)
		}
	}
	return nil
}

func parsePorts(text string) (low, high uint16, err error) {
	if text == "*" {
		return 1, 65535, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	var ends [2]uint64
	for i, t := range []string{from, to} {
		if ends[i], err = strconv.ParseUint(t, 10, 16); err != nil || ends[i] == 0 || t[0] == '0' {
			return 0, 0, fmt.Errorf("%q is not a port; use 1 to 65535, 8000-9000 for several, or * for all", text)
		}
	}
	if ends[0] > ends[1] {
		return 0, 0, fmt.Errorf("the ports %s are none; write the lower one first", text)
	}
	return uint16(ends[0]), uint16(ends[1]), nil
}

// forward checks and sets what may be forwarded.
func (b *builder) forward(s *source, a Allow, at func(...string) string) {
	s.forward = shell.Forward{
		Local:  b.destinations(a.LocalForward, "localForward", at),
		Remote: b.destinations(a.RemoteForward, "remoteForward", at),
		Agent:  a.AgentForward,
	}
	for i, d := range s.forward.Remote {
		if d.Host != "" && d.Host != "*" && d.Host != shell.Localhost {
			b.bad(at("allow", "remoteForward", strconv.Itoa(i)), fmt.Errorf("%s is a name, and what is listened on is an address; write one, localhost or *", d.Host))
		}
	}
}

// warnUnseen says what no recording has.
func (b *builder) warnUnseen(s *source) {
	if slices.Contains(s.allow, shell.ActionForward) && (s.record != nil || s.drain != nil) {
		b.warn(fmt.Sprintf("source %q records its sessions or sends their output on, but nothing of what it forwards: the audit trail has every connection and its bytes, not what they say", s.name))
	}
}

func (b *builder) destinations(texts []string, name string, at func(...string) string) (all []shell.Destination) {
	if texts != nil && len(texts) == 0 {
		b.bad(at("allow", name), errors.New("no destination is given, so nothing would be forwarded; add one, or leave it out"))
	}
	if len(texts) > maxDestinations {
		b.bad(at("allow", name), fmt.Errorf("%d destinations; at most %d", len(texts), maxDestinations))
	}
	for i, text := range texts {
		d, err := ParseDestination(text)
		b.bad(at("allow", name, strconv.Itoa(i)), err)
		all = append(all, d)
	}
	return all
}

// grantForward grants a session of forwards: a source has none unless it says so.
func (d *decision) grantForward() {
	forward := d.source.forward
	d.grant.Forward = &forward
	d.start("", d.request.Open.Subsystem)
}

// authSock is the variable by which programs find a key agent.
const authSock = "SSH_AUTH_SOCK"

// acceptAgent takes the client's variable for a key agent where the source forwards
// one and the value is what its own session of forwards made: nothing else that
// the agent did not make is ever named by it.
func (d *decision) acceptAgent(taken map[string]string, dropped []string) []string {
	path, offered := d.request.Open.Env[authSock]
	if !offered || !d.source.forward.Agent || d.request.AgentSocket == nil ||
		!d.request.AgentSocket(d.request.Key.Thumbprint(), d.grant.Credential.UID, path) {
		return dropped
	}
	taken[authSock] = path
	return slices.DeleteFunc(dropped, func(name string) bool { return name == authSock })
}

// forwardText says what may be forwarded.
func forwardText(f shell.Forward) string {
	var parts []string
	for _, one := range []struct {
		what  string
		rules []shell.Destination
	}{{"connects to ", f.Local}, {"listens on ", f.Remote}} {
		texts := make([]string, len(one.rules))
		for i, d := range one.rules {
			texts[i] = d.String()
		}
		if len(texts) > 0 {
			parts = append(parts, one.what+strings.Join(texts, ", "))
		}
	}
	if f.Agent {
		parts = append(parts, "forwards a key agent")
	}
	return strings.Join(parts, "; ")
}
