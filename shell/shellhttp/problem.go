package shellhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"shellagent/shell"
)

// Problem is a refusal as it travels (RFC 9457), and the error that the
// client's methods return for one; find it with errors.As.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Code is stable; the table is [shell.Refusals]. When something other
	// than an agent answered it is "http_" and the status.
	Code string `json:"code"`
	// Detail is a sentence for the person, without control characters.
	Detail string `json:"detail"`
	// Next, with the code offset_gap, is the input offset that the agent expects.
	Next *uint64 `json:"next,omitempty"`

	nonce string
}

// foreignCode begins the code of what no agent said.
const foreignCode = "http_"

// foreign says that something other than an agent answered.
func (p *Problem) foreign() bool { return strings.HasPrefix(p.Code, foreignCode) }

// disbelieved says that the agent did not take the token for what it is. What it
// believes is never held back for its address.
func (p *Problem) disbelieved() bool { return p.Code == "unauthorized" || p.Code == "rate_limited" }

// Error says what was refused and why.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("the agent answered %d %s", p.Status, p.Code)
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// problemOf renders the row of a local refusal.
func problemOf(d *shell.Denied) *shell.Reply {
	row := d.Reason.Refusal()
	text := d.Public
	if text == "" {
		text = row.Text
	}
	return &shell.Reply{Status: row.Status, Code: row.Code, Detail: text}
}

// afterToken are the codes that only a request with a verified token is given.
// A refusal with any other closes its connection.
var afterToken = map[string]bool{
	"busy": true, "user_unavailable": true, "lookup_failed": true, "shell_unavailable": true, "command_denied": true,
	"action_denied": true, "recording_failed": true,
	"too_many_sessions": true, "nothing_to_confirm": true, "start_failed": true, "session_ended": true,
	"session_conflict": true, "taken_over": true, "offset_gap": true,
}

// writeProblem renders a refusal.
func writeProblem(w http.ResponseWriter, reply *shell.Reply) error {
	p := Problem{
		Type: "about:blank", Title: http.StatusText(reply.Status),
		Status: reply.Status, Code: reply.Code, Detail: reply.Detail,
	}
	if len(reply.Body) > 0 {
		// What stands beside the code (RFC 9457 §3.2); nothing else gets through.
		var beside struct {
			Next *uint64 `json:"next"`
		}
		if json.Unmarshal(reply.Body, &beside) == nil {
			p.Next = beside.Next
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	h := w.Header()
	if reply.Nonce != "" {
		h.Set(headerNonce, reply.Nonce)
	}
	if reply.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if reply.Wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int((reply.Wait+time.Second-1)/time.Second)))
	}
	if !afterToken[reply.Code] {
		h.Set("Connection", "close")
	}
	return writeBody(w, reply.Status, typeProblem, text)
}

// writeBody sends a whole answer. It is not cached and not sniffed.
func writeBody(w http.ResponseWriter, status int, mediaType string, text []byte) error {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	h := w.Header()
	plainHeaders(h, mediaType)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, err := w.Write(text)
	return err
}

func plainHeaders(h http.Header, mediaType string) {
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// parseProblem is the inverse of writeProblem for a client. It makes a problem
// of whatever else a proxy may have answered.
func parseProblem(status int, h http.Header, text []byte) *Problem {
	var p Problem
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	if mediaType != typeProblem || json.Unmarshal(text, &p) != nil || printable(p.Code) == "" {
		return &Problem{
			Status: status, Title: http.StatusText(status), Code: foreignCode + strconv.Itoa(status),
			Detail: fmt.Sprintf("HTTP status %d %s, not from an agent: is there a proxy or another server at this address?",
				status, http.StatusText(status)),
		}
	}
	p.Status = status
	p.Type, p.Title = printable(p.Type), printable(p.Title)
	p.Code, p.Detail = printable(p.Code), printable(p.Detail)
	p.nonce = h.Get(headerNonce)
	return &p
}

// printable drops what could move a terminal's cursor or reorder its text: the
// other side chose these words.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
