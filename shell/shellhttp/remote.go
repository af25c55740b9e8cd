package shellhttp

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddr is where a request comes from. X-Forwarded-For is believed only
// as far as trusted proxies vouch for it: from the right, each trusted hop
// names the one before it, and the first that is not trusted is the client.
// A part that is no address ends the walk at the hop that sent it.
func clientAddr(r *http.Request, trusted []netip.Prefix) netip.AddrPort {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	peer = netip.AddrPortFrom(plainAddr(peer.Addr()), peer.Port())
	client := peer
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		hops := strings.Split(lines[i], ",")
		for j := len(hops) - 1; j >= 0; j-- {
			if !contains(trusted, client.Addr()) {
				return client
			}
			hop, ok := parseHop(strings.TrimSpace(hops[j]))
			if !ok {
				return client
			}
			client = hop
		}
	}
	return client
}

// parseHop reads an address with or without a port, in brackets or not: proxies
// write all four.
func parseHop(s string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(plainAddr(ap.Addr()), ap.Port()), true
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(plainAddr(addr), 0), true
}

// plainAddr drops what would make one host look like two: the IPv4-in-IPv6 form
// and the zone, which no netip.Prefix contains.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
