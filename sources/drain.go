package sources

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/shell"
)

// Drain says whether the output of a source's sessions goes to the sinks of the
// audit trail: true, false, or an object, which means true.
type Drain struct {
	On bool `json:"-"`
	// Required has the program wait when its output cannot be written down, as for
	// a slow client; otherwise a gap is marked.
	Required bool `json:"required"`
	// Redact are regular expressions (RE2). What matches in a line is replaced by
	// "[redacted]".
	Redact []string `json:"redact"`
}

// UnmarshalJSONFrom reads a boolean or an object.
func (c *Drain) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case 't', 'f':
		return json.UnmarshalDecode(d, &c.On)
	case '{':
		type object Drain // without this method
		c.On = true
		return json.UnmarshalDecode(d, (*object)(c))
	}
	return errors.New(`drain is true, false or an object such as {"redact": ["password=\\S+"]}`)
}

const maxRedact = 64

// drain checks what a source sends on.
func (b *builder) drain(s *source, c Drain, at func(...string) string) {
	if !c.On {
		return
	}
	s.drain = &shell.Drain{Required: c.Required, Redact: slices.Clone(c.Redact)}
	for i, text := range c.Redact {
		if r, err := regexp.Compile(text); err != nil {
			b.bad(at("drain", "redact", strconv.Itoa(i)), fmt.Errorf("%w; write it as Go's package regexp does", err))
		} else if r.MatchString("") {
			b.bad(at("drain", "redact", strconv.Itoa(i)), fmt.Errorf("%q matches nothing at all, and so everywhere; have it match a character", text))
		}
	}
	if len(c.Redact) > maxRedact {
		b.bad(at("drain", "redact"), fmt.Errorf("%d expressions; at most %d", len(c.Redact), maxRedact))
	}
}

// DrainSummary is [shell.Drain] as a configuration writes it.
type DrainSummary struct {
	Required bool     `json:"required"`
	Redact   []string `json:"redact,omitempty"`
}

func summarizeDrain(d *shell.Drain) *DrainSummary {
	if d == nil {
		return nil
	}
	return &DrainSummary{d.Required, slices.Clone(d.Redact)}
}
