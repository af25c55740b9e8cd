package sshargs

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// maxHops bounds the hosts of ProxyJump.
const maxHops = 16

// ParseJump reads a value of -J: hosts to go through, the first of which is reached
// first. Each is [user@]host[:port] or a URI; a port that is not said is 0.
func ParseJump(text string) ([]Destination, error) {
	var hops []Destination
	for part := range strings.SplitSeq(text, ",") {
		hop, ok := parseHop(part)
		if !ok || len(hops) == maxHops {
			return nil, &Error{Text: fmt.Sprintf("Invalid -J argument: %q", text)}
		}
		hops = append(hops, hop)
	}
	return hops, nil
}

func parseHop(text string) (d Destination, ok bool) {
	port := ""
	if rest, is := strings.CutPrefix(text, scheme); is {
		var err error
		if d.User, d.Hostname, port, err = fromURI(rest); err != nil {
			return d, false
		}
	} else {
		d.Hostname = text
		if user, host, found := cutLast(text, '@'); found {
			if user == "" {
				return d, false
			}
			d.User, d.Hostname = user, host
		}
		if host, p, err := net.SplitHostPort(d.Hostname); err == nil {
			d.Hostname, port = host, p
			if port == "" {
				return d, false
			}
		} else {
			d.Hostname = strings.TrimSuffix(strings.TrimPrefix(d.Hostname, "["), "]")
		}
	}
	if port != "" {
		number, err := portNumber(port)
		if err != nil {
			return d, false
		}
		d.Port, _ = strconv.Atoi(number)
	}
	return d, d.Hostname != "" && !strings.HasPrefix(d.Hostname, "-") && !strings.ContainsAny(d.Hostname, "/[] \t\n")
}
