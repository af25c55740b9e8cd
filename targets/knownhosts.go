package targets

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"shellagent/jwtauth"
)

// KnownHost is a line of known_hosts: the agent at BaseURL has this key.
type KnownHost struct {
	// BaseURL is in the form of [BaseURL].
	BaseURL string
	Key     jwtauth.PublicKey
	// NextOf is the thumbprint of the host key after which the agent announced
	// this one; "" when it is the agent's own.
	NextOf string
	// Line counts from 1.
	Line int
}

// KnownHosts is the content of a known_hosts file: per line a base URL, a key
// as OpenSSH writes it and, if one likes, a comment. Empty lines and lines that
// start with '#' are kept as they are. The zero value is an empty file.
type KnownHosts struct {
	lines []knownLine
}

type knownLine struct {
	// text has the line's end; the last line of a file may have none.
	text string
	// host is nil for a comment.
	host *KnownHost
}

// ParseKnownHosts reads a file's content. A line that it cannot read is an
// error, "LINE: what is wrong": skipped, it would turn a known host into a new one.
func ParseKnownHosts(content []byte) (*KnownHosts, error) {
	k := &KnownHosts{}
	for text := range strings.Lines(string(content)) {
		line := knownLine{text: text}
		number := len(k.lines) + 1
		if trimmed := strings.TrimSpace(text); trimmed != "" && trimmed[0] != '#' {
			host, err := parseKnownHost(trimmed)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", number, err)
			}
			host.Line = number
			line.host = host
		}
		k.lines = append(k.lines, line)
	}
	return k, nil
}

func parseKnownHost(line string) (*KnownHost, error) {
	base, key, found := strings.Cut(line, " ")
	if !found {
		return nil, errors.New("want a base URL and a key: https://HOST:PORT ssh-ed25519 AAAA…")
	}
	if !strings.HasPrefix(base, "https://") {
		return nil, errors.New("a base URL starts with https://")
	}
	canonical, err := ParseHost(base, 0)
	if err != nil {
		return nil, err
	}
	if canonical.String() != base {
		return nil, fmt.Errorf("write the base URL as %s", canonical)
	}
	public, comment, err := jwtauth.ParsePublicKey(strings.TrimSpace(key))
	if err != nil {
		return nil, err
	}
	nextOf, marked := strings.CutPrefix(comment, nextMark)
	if !marked {
		nextOf = ""
	}
	return &KnownHost{BaseURL: base, Key: public, NextOf: nextOf}, nil
}

// Bytes returns the file's content: for what was parsed, exactly what it was
// parsed from.
func (k *KnownHosts) Bytes() []byte {
	var b bytes.Buffer
	for _, line := range k.lines {
		b.WriteString(line.text)
	}
	return b.Bytes()
}

// At returns the lines of a base URL. More than one key may be known for it.
func (k *KnownHosts) At(baseURL string) []KnownHost {
	return k.where(func(h *KnownHost) bool { return h.BaseURL == baseURL })
}

// With returns the lines that have this key: the names it goes by.
func (k *KnownHosts) With(key jwtauth.PublicKey) []KnownHost {
	return k.where(func(h *KnownHost) bool { return h.Key.Equal(key) })
}

func (k *KnownHosts) where(match func(*KnownHost) bool) []KnownHost {
	var found []KnownHost
	for _, line := range k.lines {
		if line.host != nil && match(line.host) {
			found = append(found, *line.host)
		}
	}
	return found
}

// Set makes key the only one known for a base URL. Other lines stay as they are.
func (k *KnownHosts) Set(baseURL string, key jwtauth.PublicKey) {
	k.remove(func(h *KnownHost) bool { return h.BaseURL == baseURL })
	k.add(KnownHost{BaseURL: baseURL, Key: key})
}

// remove takes the lines out that match.
func (k *KnownHosts) remove(match func(*KnownHost) bool) {
	k.lines = slices.DeleteFunc(k.lines, func(line knownLine) bool { return line.host != nil && match(line.host) })
	k.number()
}

// add puts a line at the end.
func (k *KnownHosts) add(h KnownHost) {
	comment := ""
	if h.NextOf != "" {
		comment = nextMark + h.NextOf
	}
	if n := len(k.lines); n > 0 && !strings.HasSuffix(k.lines[n-1].text, "\n") {
		k.lines[n-1].text += "\n"
	}
	k.lines = append(k.lines, knownLine{
		text: h.BaseURL + " " + h.Key.AuthorizedKey(comment) + "\n",
		host: &h,
	})
	k.number()
}

// number counts the lines anew.
func (k *KnownHosts) number() {
	for i := range k.lines {
		if k.lines[i].host != nil {
			k.lines[i].host.Line = i + 1
		}
	}
}
