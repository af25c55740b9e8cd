package broker

import (
	"strconv"
	"strings"

	"shellagent/shell"
)

// action is what a request line asks for.
type action uint8

const (
	actOpen action = iota + 1
	actAttach
	actWatch
	actStream
	actStdin
	actControl
	actList
	actKill
	actConfirm
)

// route is a parsed request line. A name in it has been checked for form only.
type route struct {
	action  action
	name    string // source or session id
	from    uint64 // actStream, actWatch that resumes
	resumes bool
	body    int // largest body, in bytes
}

// identity says which kind of token the route takes.
func (r route) identity() bool {
	switch r.action {
	case actStream, actStdin, actControl:
		return false
	default:
		return true
	}
}

const (
	maxControlBody = 4 << 10
	sessionIDSize  = 43 // base64url of a SHA-256
)

// parseRoute reads a request line below the base path. It accepts exactly the
// forms of PROTOCOL.md: what is not one of them is refused, not normalised.
func parseRoute(method, target string) (route, *shell.Denied) {
	path, query, hasQuery := strings.Cut(target, "?")
	parts := strings.Split(path, "/")
	if len(parts) < 3 || len(parts) > 5 || parts[0] != "" || parts[1] != "v1" {
		return route{}, shell.Deny(shell.ReasonRoute, nil)
	}
	parts = parts[2:]
	var r route
	want := "POST"
	switch {
	case parts[0] == "shell" && len(parts) == 2 && validSource(parts[1]):
		r = route{action: actOpen, name: parts[1], body: shell.MaxOpenBody}
	case parts[0] == "confirm" && len(parts) == 2 && validSource(parts[1]):
		r = route{action: actConfirm, name: parts[1]}
	case parts[0] == "sessions" && len(parts) == 1:
		r, want = route{action: actList}, "GET"
	case parts[0] == "sessions" && len(parts) == 2 && validID(parts[1]):
		r, want = route{action: actKill, name: parts[1]}, "DELETE"
	case parts[0] == "sessions" && len(parts) == 3 && validID(parts[1]):
		r, want = sessionRoute(parts[1], parts[2])
	}
	if r.action == 0 || hasQuery && r.action != actStream && r.action != actWatch {
		return route{}, shell.Deny(shell.ReasonRoute, nil)
	}
	if method != want {
		return route{}, shell.Deny(shell.ReasonMethod, nil)
	}
	if r.action == actStream || hasQuery {
		from, ok := parseFrom(query)
		if !ok {
			return route{}, shell.Deny(shell.ReasonRoute, nil)
		}
		r.from, r.resumes = from, true
	}
	return r, nil
}

func sessionRoute(id, verb string) (route, string) {
	switch verb {
	case "attach":
		return route{action: actAttach, name: id, body: maxControlBody}, "POST"
	case "watch":
		return route{action: actWatch, name: id, body: maxControlBody}, "POST"
	case "stream":
		return route{action: actStream, name: id}, "GET"
	case "stdin":
		return route{action: actStdin, name: id, body: shell.MaxCallBody}, "POST"
	case "control":
		return route{action: actControl, name: id, body: maxControlBody}, "POST"
	default:
		return route{}, ""
	}
}

// parseFrom reads "from=N" with N in its one decimal form.
func parseFrom(query string) (uint64, bool) {
	digits, ok := strings.CutPrefix(query, "from=")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == digits
}

// validSource is the form of a source's name: what proxies never rewrite.
func validSource(s string) bool {
	if len(s) == 0 || len(s) > 64 || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func validID(s string) bool {
	if len(s) != sessionIDSize {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
