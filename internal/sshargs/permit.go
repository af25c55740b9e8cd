package sshargs

import (
	"fmt"
	"slices"
)

// Permit is where connections may lead that say so themselves, by SOCKS, after they
// came in at the other host: PermitRemoteOpen. Nil is anywhere.
type Permit []Endpoint

// ParsePermit reads the values of PermitRemoteOpen: "any", "none", or destinations, in
// which "*" is every host or, as port 0 in what is returned, every port.
func ParsePermit(values []string) (Permit, error) {
	switch {
	case len(values) == 0 || slices.Equal(values, []string{"any"}):
		return nil, nil
	case slices.Equal(values, []string{"none"}):
		return Permit{}, nil
	}
	permit := Permit{}
	for _, value := range values {
		if value == "any" || value == "none" {
			return nil, &Error{Text: fmt.Sprintf("command-line line 0: keyword permitremoteopen %q argument must appear alone.", value)}
		}
		fields, ok := splitFields(value)
		if !ok || len(fields) != 2 {
			return nil, &Error{Text: "command-line line 0: bad port number in permitremoteopen"}
		}
		e := Endpoint{Host: fields[0].text}
		if fields[1].text != "*" {
			if e.Port, ok = portOf(fields[1].text); !ok || e.Port == 0 {
				return nil, &Error{Text: "command-line line 0: bad port number in permitremoteopen"}
			}
		}
		permit = append(permit, e)
	}
	return permit, nil
}

// Allows says whether a connection may lead to e. Names are compared as they are
// written.
func (p Permit) Allows(e Endpoint) bool {
	return p == nil || slices.ContainsFunc(p, func(to Endpoint) bool {
		return (to.Host == "*" || to.Host == e.Host) && (to.Port == 0 || to.Port == e.Port)
	})
}
