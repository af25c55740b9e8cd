package record

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"shellagent/jwtauth"
	"shellagent/seal"
)

// Version is the format's.
const Version = 1

// Header says whose recording it is. It is in the file twice: as the first
// frame, which the chain begins with, and, but for the last two fields, within the
// asciicast's first line, as "shellagent", so that an exported cast has it too.
type Header struct {
	Version   int    `json:"version"`
	Session   string `json:"session"`
	Operation string `json:"operation,omitzero"`
	Host      string `json:"host"`
	Source    string `json:"source"`
	Subject   string `json:"subject,omitzero"`
	Key       string `json:"key"` // thumbprint
	User      string `json:"user"`
	Remote    string `json:"remote,omitzero"` // address
	// Command is what was asked for; "" for a shell. Argv is what ran. Of an
	// encrypted recording both are in the cast alone.
	Command  string   `json:"command,omitzero"`
	Argv     []string `json:"argv,omitzero"`
	Terminal bool     `json:"terminal"`
	// Input says that input is recorded, but for what a program read without echo.
	Input bool `json:"input,omitzero"`
	// Sampled says that floods of output are left out.
	Sampled bool `json:"sampled,omitzero"`
	// Recipients are those to whom it is encrypted; without any it is not.
	Recipients []string          `json:"recipients,omitzero"`
	Labels     map[string]string `json:"labels,omitzero"`
	Started    time.Time         `json:"started"`
	// HostKey is the agent's as an OpenSSH line. It is what the recording says;
	// whether it is true is for the reader to know.
	HostKey string `json:"hostKey,omitzero"`
	// Certificate is the host key's word about the seal key.
	Certificate string `json:"certificate,omitzero"`
}

func (h *Header) encode() ([]byte, error) {
	b, err := json.Marshal(h, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("header of the recording: %w", err)
	}
	if len(b) > maxHeader {
		return nil, fmt.Errorf("header of the recording: %d bytes, at most %d", len(b), maxHeader)
	}
	return b, nil
}

func parseHeader(b []byte) (*Header, error) {
	h := new(Header)
	if err := json.Unmarshal(b, h, json.RejectUnknownMembers(false)); err != nil {
		return nil, fmt.Errorf("%w: its header: %w", ErrFormat, err)
	}
	if h.Version != Version {
		return nil, fmt.Errorf("%w of version %d: it has version %d; a later release reads it", ErrFormat, Version, h.Version)
	}
	return h, nil
}

// verifier trusts the header's certificate as far as its host key is known.
func (h *Header) verifier(known Knower) (*seal.Verifier, error) {
	host, _, err := jwtauth.ParsePublicKey(h.HostKey)
	if err != nil {
		return nil, fmt.Errorf("%w: its host key: %w", ErrFormat, err)
	}
	if err := known(host); err != nil {
		return nil, err
	}
	return seal.NewVerifier(h.Certificate, host)
}

// castHeader is the first line of an asciicast v2.
type castHeader struct {
	Version   int               `json:"version"`
	Width     int               `json:"width"`
	Height    int               `json:"height"`
	Timestamp int64             `json:"timestamp"`
	Command   string            `json:"command,omitzero"`
	Title     string            `json:"title,omitzero"`
	Env       map[string]string `json:"env,omitzero"`
	Ours      *Header           `json:"shellagent,omitzero"`
}

// firstLine is the asciicast's header for a screen of that size and kind.
func (h *Header) firstLine(cols, rows int, term string) ([]byte, error) {
	ours := *h
	ours.Certificate, ours.HostKey = "", ""
	c := castHeader{
		Version: 2, Width: cols, Height: rows, Timestamp: h.Started.Unix(), Command: h.Command,
		Title: h.User + "@" + h.Host + " " + h.Source, Ours: &ours,
	}
	if term != "" {
		c.Env = map[string]string{"TERM": term}
	}
	b, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("first line of the recording: %w", err)
	}
	return append(b, '\n'), nil
}
