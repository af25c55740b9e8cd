package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	strict "github.com/go-json-experiment/json"
)

// Bounds of a request and of an answer, in bytes.
const (
	MaxRequest = 16 << 10
	MaxAnswer  = 8 << 20
)

const version = 1

// Request asks for one thing: exactly one of the pointers is set.
type Request struct {
	Status   *Status   `json:"status,omitempty"`
	Reload   *Reload   `json:"reload,omitempty"`
	Sessions *Sessions `json:"sessions,omitempty"`
	Kill     *Kill     `json:"kill,omitempty"`
	Rotate   *Rotate   `json:"rotate,omitempty"`
}

// Status asks how the agent is.
type Status struct{}

// Reload asks to read the configuration again.
type Reload struct {
	// Config is the absolute path that the operator means; an agent with another
	// one refuses.
	Config string `json:"config"`
	// ConfirmMs is how long the configuration may stay without a confirmation; 0
	// means for good.
	ConfirmMs int64 `json:"confirmMs,omitempty"`
}

// Confirm is ConfirmMs as a duration.
func (r Reload) Confirm() time.Duration { return time.Duration(r.ConfirmMs) * time.Millisecond }

// Sessions asks for everybody's sessions.
type Sessions struct{}

// Kill asks to end the sessions that match everything that is set.
type Kill struct {
	Subject string `json:"subject,omitempty"`
	// Key is the thumbprint of an identity key, Session the start of a session's id.
	Key     string `json:"key,omitempty"`
	Source  string `json:"source,omitempty"`
	Session string `json:"session,omitempty"`
	// All stands alone.
	All bool `json:"all,omitempty"`
}

// Rotate asks for a step of the host key's rotation.
type Rotate struct {
	// Step is "begin", "finish" or "abort".
	Step string `json:"step"`
}

// Bounds of what a request says.
const (
	maxName    = 256
	maxPath    = 4096
	maxConfirm = 24 * time.Hour
	minConfirm = time.Second
)

// check refuses what cannot be meant.
func (r *Request) check() error {
	set := 0
	for _, is := range []bool{r.Status != nil, r.Reload != nil, r.Sessions != nil, r.Kill != nil, r.Rotate != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("a request asks for one thing, not %d", set)
	case r.Reload != nil:
		return r.Reload.check()
	case r.Kill != nil:
		return r.Kill.check()
	case r.Rotate != nil:
		return r.Rotate.check()
	}
	return nil
}

func (r *Reload) check() error {
	if !strings.HasPrefix(r.Config, "/") || len(r.Config) > maxPath {
		return errors.New("the configuration is named by its absolute path")
	}
	if d := r.Confirm(); r.ConfirmMs < 0 || r.ConfirmMs > maxConfirm.Milliseconds() || d > 0 && d < minConfirm {
		return fmt.Errorf("a confirmation can be waited for from %s to %s", minConfirm, maxConfirm)
	}
	return nil
}

func (k *Kill) check() error {
	some := false
	for _, name := range []string{k.Subject, k.Key, k.Source, k.Session} {
		if len(name) > maxName {
			return errors.New("the name is too long to be anybody's")
		}
		some = some || name != ""
	}
	if some == k.All {
		return errors.New("say which sessions are to end: by subject, key, source or session, or all")
	}
	return nil
}

func (r *Rotate) check() error {
	switch r.Step {
	case "begin", "finish", "abort":
		return nil
	}
	return fmt.Errorf("%.20q is no step of a rotation", r.Step)
}

// envelope is a request as it travels.
type envelope struct {
	Version int `json:"version"`
	Request
}

// encodeRequest returns the line that parseRequest reads.
func encodeRequest(r Request) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	line, err := json.Marshal(envelope{version, r})
	if err == nil && len(line) >= MaxRequest {
		err = errors.New("the request is too long")
	}
	return append(line, '\n'), err
}

// parseRequest reads a line without its end: one object, every member known and
// there once.
func parseRequest(line []byte) (Request, error) {
	var e envelope
	if err := strict.Unmarshal(line, &e, strict.RejectUnknownMembers(true)); err != nil {
		return Request{}, fmt.Errorf("the request cannot be read: %w", err)
	}
	if e.Version != version {
		return Request{}, fmt.Errorf("the request is of version %d, the agent that runs speaks %d: restart the agent after an upgrade", e.Version, version)
	}
	if err := e.check(); err != nil {
		return Request{}, err
	}
	return e.Request, nil
}

// answer is what comes back: an error, or a result of the request's kind.
type answer struct {
	Version int             `json:"version"`
	Error   string          `json:"error,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
}

// Refused is an error that the agent answered with. Its lines say each what is
// wrong, with the remedy.
type Refused struct{ Text string }

func (e *Refused) Error() string { return e.Text }

// encodeAnswer makes a line of whatever came out.
func encodeAnswer(result any, failed error) []byte {
	a := answer{Version: version}
	var err error
	if failed != nil {
		a.Error = cut(failed.Error())
	} else if a.Result, err = json.Marshal(result); err != nil {
		a.Error = cut(err.Error())
	}
	line, err := json.Marshal(a)
	if err != nil || len(line) >= MaxAnswer {
		line, _ = json.Marshal(answer{Version: version, Error: "the answer is too long"})
	}
	return append(line, '\n')
}

// maxError bounds an error's text: a configuration can have many mistakes.
const maxError = 256 << 10

func cut(text string) string {
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError], "") + "…"
}

// parseAnswer reads a line into result.
func parseAnswer(line []byte, result any) error {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("the agent's answer cannot be read: %w", err)
	}
	if a.Version != version {
		return fmt.Errorf("the agent's answer is of version %d instead of %d: restart the agent after an upgrade", a.Version, version)
	}
	if a.Error != "" {
		return &Refused{a.Error}
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("the agent's answer cannot be read: %w", err)
	}
	return nil
}
