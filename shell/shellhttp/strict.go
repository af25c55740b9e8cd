package shellhttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"shellagent/shell"
)

// maxHeader bounds the names and values of a request's headers, in bytes: a
// token of the largest size and twice what browsers and proxies add.
const maxHeader = 12 << 10

// checkForm refuses a request that no client of this protocol sends. What a
// proxy and this server could read in two ways is refused, never normalised.
// It says nothing about who asks.
func checkForm(r *http.Request) *shell.Denied {
	if r.ProtoMajor < 1 || r.ProtoMajor == 1 && r.ProtoMinor < 1 {
		// Transfer-Encoding is invisible to us in HTTP/1.0, and proxies differ on it.
		return &shell.Denied{Reason: shell.ReasonMalformed, Err: errors.New("HTTP/1.0"),
			Public: "HTTP/1.0 is refused: let the client or proxy speak HTTP/1.1 or HTTP/2"}
	}
	if n := headerSize(r); n > maxHeader {
		return shell.Deny(shell.ReasonHeaderTooLarge, fmt.Errorf("%d bytes, at most %d", n, maxHeader))
	}
	if _, ok := r.Header["Origin"]; ok {
		return shell.Deny(shell.ReasonOrigin, nil)
	}
	if len(r.TransferEncoding) > 0 || len(r.Header["Transfer-Encoding"]) > 0 {
		return shell.Deny(shell.ReasonTransferEncoding, nil)
	}
	if n := len(r.Header["Authorization"]); n > 1 {
		return shell.Deny(shell.ReasonAuthorization, fmt.Errorf("%d headers", n))
	}
	return checkTarget(r.RequestURI)
}

func headerSize(r *http.Request) int {
	n := len(r.Host) + len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}

// checkTarget accepts an absolute path of unreserved characters (RFC 3986
// §2.3) without empty or dot segments, and a query only where a stream's start
// is asked.
func checkTarget(target string) *shell.Denied {
	if len(target) > shell.MaxTarget {
		return shell.Deny(shell.ReasonTargetForm, fmt.Errorf("%d bytes, at most %d", len(target), shell.MaxTarget))
	}
	path, query, hasQuery := strings.Cut(target, "?")
	if !plainPath(path) {
		return shell.Deny(shell.ReasonTargetForm, fmt.Errorf("path %.100q", path))
	}
	resumes := strings.HasSuffix(path, "/stream") || strings.HasSuffix(path, "/watch")
	if hasQuery && !(resumes && fromQuery(query)) {
		return shell.Deny(shell.ReasonTargetForm, fmt.Errorf("query %.100q", query))
	}
	return nil
}

func plainPath(path string) bool {
	rest, ok := strings.CutPrefix(path, "/")
	for ok {
		var segment string
		segment, rest, ok = strings.Cut(rest, "/")
		if segment == "" || segment == "." || segment == ".." || !unreserved(segment) {
			return false
		}
	}
	return strings.HasPrefix(path, "/")
}

func unreserved(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}

// fromQuery says whether query is "from=N" with N in its one decimal form; the
// broker reads the number.
func fromQuery(query string) bool {
	digits, ok := strings.CutPrefix(query, "from=")
	if !ok || digits == "" || len(digits) > 20 || digits[0] == '0' && digits != "0" {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

// bearer returns the credentials of the one Authorization header.
func bearer(r *http.Request) (string, *shell.Denied) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return "", shell.Deny(shell.ReasonNoToken, nil)
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || !token68(token) {
		return "", shell.Deny(shell.ReasonAuthorization, errors.New("not a Bearer token"))
	}
	if len(token) > shell.MaxToken {
		return "", shell.Deny(shell.ReasonTokenMalformed, fmt.Errorf("%d bytes, at most %d", len(token), shell.MaxToken))
	}
	return token, nil
}

// token68 is the form of bearer credentials (RFC 6750 §2.1, RFC 9110 §11.2).
func token68(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// checkBody returns the exact size of the request's body. Only a POST has one.
func checkBody(r *http.Request, target string) (int, *shell.Denied) {
	if r.Method != http.MethodPost {
		if r.ContentLength != 0 {
			return 0, shell.Deny(shell.ReasonMalformed, fmt.Errorf("%s with a body", r.Method))
		}
		return 0, nil
	}
	if len(r.Header["Content-Length"]) != 1 || r.ContentLength < 0 {
		return 0, shell.Deny(shell.ReasonNoLength, nil)
	}
	limit := int64(shell.MaxOpenBody)
	if strings.HasSuffix(target, "/stdin") {
		limit = shell.MaxCallBody
	}
	if r.ContentLength > limit {
		return 0, shell.Deny(shell.ReasonBodyTooLarge, fmt.Errorf("%d bytes, at most %d", r.ContentLength, limit))
	}
	return int(r.ContentLength), nil
}
