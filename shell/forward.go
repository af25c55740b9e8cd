package shell

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Forward is what a session of forwards may open and listen on for its client, on
// the host and from it, besides what its user may. Nobody changes it.
type Forward struct {
	// Local is where connections may lead, Remote what may be listened on.
	Local  []Destination `json:",omitzero"`
	Remote []Destination `json:",omitzero"`
	// Agent allows a socket for SSH_AUTH_SOCK.
	Agent bool `json:",omitzero"`
}

// Destination is one rule: of Host, Prefix and Path one is set.
type Destination struct {
	// Host is a name in lower case, "*.example.org" for every name below that one,
	// or "*" for every name and address. A name is good for what it is looked up
	// as, within the bounds of [Reach].
	Host string `json:",omitzero"`
	// Prefix is what an address is in, however it was come by.
	Prefix netip.Prefix `json:",omitzero"`
	// Low and High are the ports, High included.
	Low  uint16 `json:",omitzero"`
	High uint16 `json:",omitzero"`
	// Path is an absolute path, or a pattern of [path.Match].
	Path string `json:",omitzero"`
}

// Localhost is the name that stands for the two loopback addresses 127.0.0.1 and ::1.
const Localhost = "localhost"

// anyHost is the Host that stands for all.
const anyHost = "*"

// Covers says whether f allows all that other does. What only several rules
// together allow is not seen.
func (f Forward) Covers(other Forward) bool {
	return coverAll(f.Local, other.Local) && coverAll(f.Remote, other.Remote) && (f.Agent || !other.Agent)
}

func coverAll(rules, others []Destination) bool {
	return !slices.ContainsFunc(others, func(o Destination) bool {
		return !slices.ContainsFunc(rules, func(d Destination) bool { return d.covers(o) })
	})
}

func (d Destination) covers(o Destination) bool {
	if d == o {
		return true
	}
	if d.Path != "" || o.Path != "" {
		matched, _ := path.Match(d.Path, o.Path)
		return matched && !strings.ContainsAny(o.Path, `*?[\`)
	}
	if o.Low < d.Low || o.High > d.High {
		return false
	}
	switch {
	case d.Host == anyHost || d.Host != "" && d.Host == o.Host:
		return true
	case d.Prefix.IsValid() && o.Prefix.IsValid():
		return d.Prefix.Bits() <= o.Prefix.Bits() && d.Prefix.Contains(o.Prefix.Addr())
	}
	return below(d.Host, o.Host)
}

// below says whether a name is one of those that "*.example.org" stands for.
func below(rule, name string) bool {
	suffix, wild := strings.CutPrefix(rule, anyHost+".")
	return wild && len(name) > len(suffix)+1 && strings.HasSuffix(name, "."+suffix)
}

func (d Destination) port(n uint16) bool { return d.Path == "" && d.Low <= n && n <= d.High }

// named says whether the rule is one of names, and of this one.
func (d Destination) named(host string) bool {
	return host != "" && (d.Host == host || below(d.Host, host))
}

// has says whether the rule is one of addresses, and of this one.
func (d Destination) has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if d.Host == Localhost {
		return a == loopback4 || a == netip.IPv6Loopback()
	}
	return d.Prefix.IsValid() && d.Prefix.Contains(a)
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// metadata are addresses at which clouds tell a host its secrets, and which are not
// link-local (RFC 3927) as the common one is.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"),
}

// plain says whether a rule of names may lead to an address: whoever answers for a
// name, or for those below one, does not choose that a client gets at what the host
// trusts because it is the host.
func (d Destination) plain(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || slices.Contains(metadata, a) {
		return false
	}
	return !a.IsLoopback() || !strings.HasPrefix(d.Host, anyHost)
}

// Reach returns the addresses that a connection to a port of host may go to; host is
// "" when the client gave an address. A rule of names leads to no link-local or
// multicast address and to none where clouds tell secrets, and one with a wildcard
// to no loopback address either: those take a rule of addresses, or of any host.
func Reach(rules []Destination, host string, port uint16, addresses []netip.Addr) (allowed []netip.Addr) {
	for _, a := range addresses {
		if slices.ContainsFunc(rules, func(d Destination) bool {
			return d.port(port) && (d.Host == anyHost || d.has(a) || d.named(host) && d.plain(a))
		}) {
			allowed = append(allowed, a)
		}
	}
	return allowed
}

// MayReach says whether there is an address as which host could be reached: without,
// it need not be looked up.
func MayReach(rules []Destination, host string, port uint16) bool {
	return slices.ContainsFunc(rules, func(d Destination) bool {
		return d.port(port) && (d.Host == anyHost || d.named(host) || d.Prefix.IsValid() || d.Host == Localhost)
	})
}

// Listen returns the addresses that may be listened on at a port: host is "" for the
// one that is given, [Localhost] for both of those, or "*" for every address of the
// host, which none stand for. Port 0, which the host chooses, takes a rule with all
// ports that need no privilege.
func Listen(rules []Destination, host string, port uint16, addresses []netip.Addr) (allowed []netip.Addr, ok bool) {
	may := func(a netip.Addr) bool {
		return slices.ContainsFunc(rules, func(d Destination) bool {
			ports := d.port(port) || port == 0 && d.Path == "" && d.Low <= 1024 && d.High == 65535
			return ports && (d.Host == anyHost || a.IsValid() && d.has(a))
		})
	}
	if host == anyHost {
		return nil, may(netip.Addr{})
	}
	for _, a := range addresses {
		if may(a) {
			allowed = append(allowed, a)
		}
	}
	return allowed, len(allowed) > 0
}

// HasPath says whether a rule is of a clean absolute path. It looks at names alone:
// the caller knows that no symbolic link is among them.
func HasPath(rules []Destination, name string) bool {
	return slices.ContainsFunc(rules, func(d Destination) bool {
		matched, _ := path.Match(d.Path, name)
		return d.Path != "" && (matched || d.Path == name)
	})
}

// String is the rule as a configuration writes it.
func (d Destination) String() string {
	if d.Path != "" {
		return d.Path
	}
	host := d.Host
	if p := d.Prefix; p.IsValid() {
		host = p.String()
		if p.IsSingleIP() {
			host = p.Addr().String()
		}
		if p.Addr().Is6() {
			host = "[" + host + "]"
		}
	}
	ports := strconv.Itoa(int(d.Low))
	switch {
	case d.Low == 1 && d.High == 65535:
		ports = "*"
	case d.Low != d.High:
		ports += "-" + strconv.Itoa(int(d.High))
	}
	return host + ":" + ports
}
