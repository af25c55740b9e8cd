package forward

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/go-json-experiment/json"
)

// MaxHeader is how many bytes of JSON a header has at most.
const MaxHeader = 4096

// Kinds of what is opened or listened on.
const (
	TCP   = "tcp"
	Unix  = "unix"
	Agent = "agent" // a socket for SSH_AUTH_SOCK: it can be listened on alone
)

// Request is the header of a stream that the client opens. Either Open or Listen
// is set: the stream is to become a connection, or is to live as long as a listener.
type Request struct {
	Open   string `json:"open,omitzero"`
	Listen string `json:"listen,omitzero"`
	// Host is a name or an address without brackets. Listening, "localhost" is
	// both loopback addresses, and "" or "*" every address of the host.
	Host string `json:"host,omitzero"`
	// Port is 0 for one that the host chooses, when listening.
	Port uint16 `json:"port,omitzero"`
	// Path is absolute.
	Path string `json:"path,omitzero"`
	// Unlink has a socket that is at Path already removed before it is listened
	// on. What is no socket stays.
	Unlink bool `json:"unlink,omitzero"`
}

// Accepted is the header of a stream that the helper opens: a connection came in.
type Accepted struct {
	Listener uint32 `json:"accepted"`
	// From is the peer's address and port, "" when it has none.
	From string `json:"from,omitzero"`
}

// Answer is what the one who was asked says, once: the zero value is yes.
type Answer struct {
	// Listener is the number that [Accepted] names; it counts from 1.
	Listener uint32 `json:"listener,omitzero"`
	// Port and Path are what is listened on.
	Port uint16 `json:"port,omitzero"`
	Path string `json:"path,omitzero"`
	// Code, unless "", is no, and Detail a sentence for the person.
	Code   Code   `json:"code,omitzero"`
	Detail string `json:"detail,omitzero"`
}

// Code says why a stream did not come to be. Clients may match on it.
type Code string

// The codes.
const (
	CodeDenied      Code = "denied"      // policy does not allow it
	CodeRefused     Code = "refused"     // nobody listens there
	CodeUnreachable Code = "unreachable" // there is no way there
	CodeTimeout     Code = "timeout"     // nobody answered in time
	CodeNotFound    Code = "not_found"   // no such name, or file
	CodeLimit       Code = "limit"       // there are too many already
	CodeInvalid     Code = "invalid"     // the header is not one that is understood
	CodeFailed      Code = "failed"      // anything else
)

// Refusal is the error of a stream that was answered with a code.
type Refusal struct {
	Code   Code
	Detail string
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return string(r.Code)
	}
	return r.Detail
}

// Err returns a *[Refusal], or nil when the answer is yes.
func (a Answer) Err() error {
	if a.Code == "" {
		return nil
	}
	return &Refusal{a.Code, a.Detail}
}

// No returns the answer that refuses.
func No(code Code, detail string) Answer { return Answer{Code: code, Detail: detail} }

// Validate says what is wrong with the request, for the client to read.
func (r Request) Validate() error {
	kind := r.Open + r.Listen
	switch {
	case (r.Open == "") == (r.Listen == ""):
		return errors.New("either open or listen is to be set")
	case kind != TCP && (r.Host != "" || r.Port != 0):
		return errors.New("host and port are of tcp alone")
	case kind != Unix && (r.Path != "" || r.Unlink):
		return errors.New("path and unlink are of unix alone")
	case r.Open != "" && r.Unlink:
		return errors.New("unlink is for listening")
	}
	switch kind {
	case TCP:
		return r.validateTCP()
	case Unix:
		return validatePath(r.Path)
	case Agent:
		if r.Open != "" {
			return errors.New("an agent's socket can be listened on, not opened")
		}
		return nil
	}
	return fmt.Errorf("%.20q is neither tcp nor unix nor agent", kind)
}

// maxHost is the longest name that DNS knows, with its last dot.
const maxHost = 254

func (r Request) validateTCP() error {
	if r.Open != "" && (r.Host == "" || r.Port == 0) {
		return errors.New("opening tcp takes a host and a port")
	}
	if len(r.Host) > maxHost {
		return fmt.Errorf("the host has %d bytes, at most %d are taken", len(r.Host), maxHost)
	}
	for _, c := range []byte(r.Host) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/\[]"'`, c) >= 0 {
			return fmt.Errorf("%q is not a host's name or address", r.Host)
		}
	}
	return nil
}

func validatePath(p string) error {
	if !path.IsAbs(p) || strings.IndexByte(p, 0) >= 0 {
		return errors.New("the path is to be absolute")
	}
	return nil
}

// ReadRequest reads a request, and nothing after it. The error is a *[Refusal] when the
// header was there and says nothing that is understood.
func ReadRequest(r io.Reader) (Request, error) {
	var request Request
	err := read(r, &request)
	if err == nil {
		if problem := request.Validate(); problem != nil {
			err = &Refusal{CodeInvalid, problem.Error()}
		}
	}
	return request, err
}

// ReadAccepted reads the header, and nothing after it.
func ReadAccepted(r io.Reader) (Accepted, error) {
	var accepted Accepted
	err := read(r, &accepted)
	if err == nil && accepted.Listener == 0 {
		err = &Refusal{CodeInvalid, "accepted is to name a listener"}
	}
	return accepted, err
}

// maxDetail keeps an answer within [MaxHeader], whatever has to be escaped in it.
const maxDetail = 512

// WriteAnswer writes the answer in one write; a long detail is cut.
func WriteAnswer(w io.Writer, a Answer) error {
	if len(a.Detail) > maxDetail {
		a.Detail = a.Detail[:maxDetail]
	}
	a.Detail = strings.ToValidUTF8(a.Detail, "")
	return write(w, a)
}

// ReadAnswer reads an answer, and nothing after it. That it says no is no error here.
func ReadAnswer(r io.Reader) (Answer, error) {
	var answer Answer
	err := read(r, &answer)
	return answer, err
}

// write writes a header in one write.
func write(w io.Writer, header any) error {
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("forward header: %w", err)
	}
	if len(text) > MaxHeader {
		return fmt.Errorf("forward header has %d bytes, at most %d are taken", len(text), MaxHeader)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...))
	return err
}

func read(r io.Reader, header any) error {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > MaxHeader {
		return &Refusal{CodeInvalid, fmt.Sprintf("the header has %d bytes, at most %d are taken", n, MaxHeader)}
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("forward header: %w", io.ErrUnexpectedEOF)
	}
	if n == 0 || text[0] != '{' {
		return &Refusal{CodeInvalid, "the header is not a JSON object"}
	}
	if err := json.Unmarshal(text, header); err != nil {
		return &Refusal{CodeInvalid, "the header: " + err.Error()}
	}
	return nil
}
