package shellhttp

import "net"

// isOurs says whether an address is one of this machine's, as far as can be told.
func isOurs(ip net.IP) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil || ip.IsLoopback() {
		return true
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
