package sources

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/config"
	"shellagent/shell"
)

// Banner is written as the text, or as an object that names its file. The zero
// value is none.
type Banner struct {
	Text string `json:"-"`
	// File has the text; a relative path is beside the configuration.
	File string `json:"file"`
}

// UnmarshalJSONFrom reads a string or an object.
func (n *Banner) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"':
		return json.UnmarshalDecode(d, &n.Text)
	case '{':
		type object Banner // without this method
		err := json.UnmarshalDecode(d, (*object)(n))
		if err == nil && n.File == "" {
			err = errors.New(`the banner names no file; write {"file": "/etc/issue.net"}, or the text itself as a string`)
		}
		return err
	}
	return errors.New(`a banner is a string or an object; write "Authorized use only." or {"file": "/etc/issue.net"}`)
}

// banner reads and checks what clients show before a session.
func (b *builder) banner(s *source, c Banner, at func(...string) string) {
	text, pointer := c.Text, at("banner")
	if c.File != "" {
		path := b.path(c.File)
		b.policy.files = append(b.policy.files, path)
		content, err := config.ReadTrusted(path)
		if err != nil {
			b.bad(at("banner", "file"), err)
			return
		}
		text, pointer = string(content), at("banner", "file")
	}
	switch {
	case len(text) > shell.MaxBanner:
		b.bad(pointer, fmt.Errorf("the banner has %d bytes; use at most %d", len(text), shell.MaxBanner))
	case escaped(text) > maxEscaped:
		b.bad(pointer, fmt.Errorf("the banner takes %d bytes as JSON, where some characters take six; use at most %d", escaped(text), maxEscaped))
	case !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0:
		b.bad(pointer, errors.New("the banner is not text in UTF-8; convert it"))
	}
	s.banner = text
}

// maxEscaped bounds a banner on its way, in bytes: it goes in one event with what else
// there is to say of a session, of which 32 KiB fit.
const maxEscaped = 24 << 10

// escaped is how long a text is in the JSON of an event.
func escaped(text string) int {
	quoted, err := stdjson.Marshal(text)
	if err != nil {
		return 0 // which no text is
	}
	return len(quoted)
}
