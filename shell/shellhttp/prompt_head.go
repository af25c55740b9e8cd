package shellhttp

import (
	"bytes"
	"net/http"
	"strings"

	"shellagent/shell"
)

// promptHead is the head of an input or control request in the one form that our
// client writes it in (appendPostHead).
type promptHead struct {
	target string // below the base path
	token  string
	size   int // of the body, in bytes
}

// The pieces of that form. What stands between them is checked by itself.
var (
	promptPost   = []byte("POST ")
	promptHost   = []byte(" HTTP/1.1\r\nHost: ")
	promptAgent  = []byte("\r\nUser-Agent: shellagent\r\nContent-Length: ")
	promptToken  = []byte("\r\nAuthorization: Bearer ")
	promptStdin  = []byte("\r\nContent-Type: " + typeStdin + "\r\n\r\n")
	promptChange = []byte("\r\nContent-Type: " + typeJSON + "\r\n\r\n")
)

// parsePromptHead reads a head with the empty line that ends it. Of everything
// that is not exactly of that form, and below base, ok is false, and then net/http
// says what it is. The two never differ on what is of the form.
func parsePromptHead(head []byte, base string) (h promptHead, ok bool) {
	rest, ok := bytes.CutPrefix(head, promptPost)
	if !ok {
		return h, false
	}
	path, rest, ok := bytes.Cut(rest, promptHost)
	if !ok {
		return h, false
	}
	host, rest, ok := bytes.Cut(rest, promptAgent)
	if !ok || !plainHost(host) {
		return h, false
	}
	size, rest, ok := bytes.Cut(rest, promptToken)
	if !ok {
		return h, false
	}
	token, ok := bytes.CutSuffix(rest, promptStdin)
	limit := shell.MaxCallBody
	if !ok {
		token, ok = bytes.CutSuffix(rest, promptChange)
		limit = shell.MaxOpenBody
	}
	if !ok || len(token) > shell.MaxToken {
		return h, false
	}
	h.token = string(token)
	if h.size, ok = plainSize(size); !ok || h.size > limit || !token68(h.token) {
		return h, false
	}
	h.target, ok = strings.CutPrefix(string(path), base)
	return h, ok && promptTarget(h.target) && len(path) <= shell.MaxTarget
}

// promptTarget says that a target is that of a session's input or control.
func promptTarget(target string) bool {
	rest, ok := strings.CutPrefix(target, "/v1/sessions/")
	if !ok {
		return false
	}
	id, verb, ok := strings.Cut(rest, "/")
	return ok && id != "." && id != ".." && id != "" && unreserved(id) && (verb == "stdin" || verb == "control")
}

// plainHost says that a Host header is a name or an address, with a port or not.
func plainHost(b []byte) bool {
	for _, c := range b {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(".-:[]", rune(c)) {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 262 // a name, and a port
}

// plainSize reads a length of at most 7 digits in its one decimal form.
func plainSize(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 7 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// isPrompt says that a request that net/http read was of the form, so that the next
// ones on its connection may be.
func isPrompt(r *http.Request, target string) bool {
	return r.ProtoMajor == 1 && r.Method == http.MethodPost && promptTarget(target) && !r.Close &&
		len(r.Header) == 4 && r.UserAgent() == "shellagent" && len(r.Header["Content-Type"]) == 1
}
