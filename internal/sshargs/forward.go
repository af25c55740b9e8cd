package sshargs

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Endpoint is where something listens, or what is connected to: a Unix socket if
// Path is set, else TCP. The zero value is none.
type Endpoint struct {
	// Host is a name or an address without brackets. Of one that listens "" is where
	// nothing was said, and "*" every address.
	Host string
	// Port is 0 only of one that listens where any will do.
	Port int
	// Path is a Unix socket's, as it was written.
	Path string
}

// String is the endpoint as a person writes it.
func (e Endpoint) String() string {
	switch {
	case e.Path != "":
		return e.Path
	case e.Host == "":
		return strconv.Itoa(e.Port)
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// Forward is a value of -L, -R or -D.
type Forward struct {
	Listen Endpoint
	// Connect is where connections lead. The zero value is where each of them says,
	// by SOCKS.
	Connect Endpoint
}

// IsDynamic says that connections say where they lead.
func (f Forward) IsDynamic() bool { return f.Connect == Endpoint{} }

// String is the forward as a person writes it.
func (f Forward) String() string {
	if f.IsDynamic() {
		return f.Listen.String()
	}
	return f.Listen.String() + ":" + f.Connect.String()
}

// Direction is a letter: which end listens, and who says where connections lead.
type Direction byte

// The directions.
const (
	Local   Direction = 'L'
	Remote  Direction = 'R'
	Dynamic Direction = 'D'
)

// kinds are the directions in OpenSSH's words.
var kinds = map[Direction]string{Local: "local", Remote: "remote", Dynamic: "dynamic"}

// ParseForward reads a value of -L, -R or -D as ssh(1) has it. Its errors are
// *Error. -R without a destination is dynamic. anyPort lets also this end listen
// where any port will do.
func ParseForward(d Direction, text string, anyPort bool) (Forward, error) {
	bad := &Error{Text: fmt.Sprintf("Bad %s forwarding specification '%s'", kinds[d], text)}
	fields, ok := splitFields(text)
	if !ok {
		return Forward{}, bad
	}
	f, ok := assemble(d, fields)
	if !ok || f.Listen.Path == "" && f.Listen.Port == 0 && d != Remote && !anyPort {
		return f, bad
	}
	return f, nil
}

// field is a part of a value between colons.
type field struct {
	text string
	path bool // it has a slash
}

// maxFields is [bind_address:]port:host:hostport.
const maxFields = 4

// splitFields parts a value at colons, of which those in brackets and those behind
// a backslash are none. One may end it.
func splitFields(text string) (fields []field, ok bool) {
	for rest := strings.TrimLeft(text, space+"\f\v"); rest != ""; {
		if len(fields) == maxFields {
			return nil, false
		}
		var f field
		if f, rest, ok = nextField(rest); !ok {
			return nil, false
		}
		fields = append(fields, f)
	}
	return fields, len(fields) > 0
}

func nextField(rest string) (f field, behind string, ok bool) {
	if rest[0] == '[' {
		inner, behind, found := strings.Cut(rest[1:], "]")
		behind, colon := strings.CutPrefix(behind, ":")
		return field{inner, strings.Contains(inner, "/")}, behind, found && (colon || behind == "")
	}
	var b strings.Builder
	i := 0
	for ; i < len(rest) && rest[i] != ':'; i++ {
		if rest[i] == '\\' {
			if i++; i == len(rest) {
				return f, "", false
			}
		} else if rest[i] == '/' {
			f.path = true
		}
		b.WriteByte(rest[i])
	}
	f.text = b.String()
	return f, rest[min(i+1, len(rest)):], true
}

// assemble says what the fields are: of a direction, their number and which are
// paths.
func assemble(d Direction, fields []field) (f Forward, ok bool) {
	n := len(fields)
	if d != Dynamic {
		if listen, connect, good := parted(fields); good {
			f.Listen, ok = listening(listen)
			if ok {
				f.Connect, ok = connecting(connect)
			}
			return f, ok
		}
	}
	if d != Local && n <= 2 {
		f.Listen, ok = listening(fields)
	}
	return f, ok
}

// parted tells the fields of the two ends from each other.
func parted(fields []field) (listen, connect []field, ok bool) {
	n := len(fields)
	last := 2 // of the destination
	if fields[n-1].path {
		last = 1
	}
	if n <= last {
		return nil, nil, false
	}
	return fields[:n-last], fields[n-last:], true
}

// maxHostName and maxPath are the longest that ssh takes: NI_MAXHOST, and what fits
// into a sockaddr_un.
const (
	maxHostName = 1024
	maxPath     = 107
)

func listening(fields []field) (e Endpoint, ok bool) {
	if fields[0].path {
		return Endpoint{Path: fields[0].text}, len(fields) == 1 && len(fields[0].text) <= maxPath
	}
	if len(fields) > 2 || fields[len(fields)-1].path {
		return e, false
	}
	if len(fields) == 2 {
		if e.Host = fields[0].text; e.Host == "" {
			e.Host = "*"
		}
	}
	e.Port, ok = portOf(fields[len(fields)-1].text)
	return e, ok && len(e.Host) <= maxHostName
}

func connecting(fields []field) (e Endpoint, ok bool) {
	if len(fields) == 1 {
		return Endpoint{Path: fields[0].text}, len(fields[0].text) <= maxPath
	}
	e.Port, ok = portOf(fields[1].text)
	e.Host = fields[0].text
	return e, ok && e.Port > 0 && e.Host != "" && !fields[0].path && len(e.Host) <= maxHostName
}

// portOf reads a number or a service's name.
func portOf(text string) (port int, ok bool) {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		return int(n), true
	}
	if text == "" || strings.Trim(text, "0123456789+-") == "" {
		return 0, false
	}
	n, err := net.LookupPort("tcp", text)
	return n, err == nil
}

// ParseStdio reads -W's value: host:port or the path of a Unix socket.
func ParseStdio(text string) (Endpoint, error) {
	fields, ok := splitFields(text)
	var e Endpoint
	if ok && len(fields) <= 2 {
		if fields[0].path && len(fields) == 1 || len(fields) == 2 {
			e, ok = connecting(fields)
			if ok {
				return e, nil
			}
		}
	}
	return e, &Error{Text: fmt.Sprintf("Bad stdio forwarding specification '%s'", text)}
}
