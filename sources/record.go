package sources

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/shell"
)

// Record says whether and how the sessions of a source are recorded: true, false,
// or an object, which means true.
type Record struct {
	On bool `json:"-"`
	// Required ends a session whose recording cannot be written, and opens none
	// whose recording cannot begin; nil means true.
	Required *bool `json:"required"`
	// Input records what is typed, but for what the terminal does not show.
	Input bool `json:"input"`
	// Recipients are age public keys ("age1…"), whose holders alone can read the
	// recordings.
	Recipients []string `json:"recipients"`
	// Sample is how many bytes of output are kept in a second, the rest being left
	// out with a mark; nil keeps all.
	Sample *int64 `json:"sample"`
	// Dir replaces "recordings" in the state directory.
	Dir string `json:"dir"`
	// Keep is how long recordings are kept, MaxBytes how much all of the source's
	// may have together before the oldest go; 0 is no limit.
	Keep     time.Duration `json:"keep"`
	MaxBytes int64         `json:"maxBytes"`
}

// UnmarshalJSONFrom reads a boolean or an object.
func (r *Record) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case 't', 'f':
		return json.UnmarshalDecode(d, &r.On)
	case '{':
		type object Record // without this method
		r.On = true
		return json.UnmarshalDecode(d, (*object)(r))
	}
	return errors.New(`record is true, false or an object such as {"required": true, "input": true}`)
}

// Bounds of record.
const (
	leastSample   = 4 << 10
	mostSample    = 1 << 30
	maxRecipients = 16

	leastKeep     = time.Hour
	leastMaxBytes = 1 << 20
)

// record checks what a source records.
func (b *builder) record(s *source, r Record, at func(...string) string) {
	if !r.On {
		return
	}
	s.record = &shell.Record{Required: r.Required == nil || *r.Required, Input: r.Input, Recipients: slices.Clone(r.Recipients), Dir: r.Dir}
	for i, text := range r.Recipients {
		if _, err := age.ParseX25519Recipient(text); err != nil {
			b.bad(at("record", "recipients", strconv.Itoa(i)), fmt.Errorf("%q is not an age recipient; give the public key (age1…) that age-keygen prints", text))
		}
	}
	if len(r.Recipients) > maxRecipients {
		b.bad(at("record", "recipients"), fmt.Errorf("%d recipients; at most %d", len(r.Recipients), maxRecipients))
	}
	if r.Sample != nil {
		s.record.Sample = *r.Sample
		if *r.Sample < leastSample || *r.Sample > mostSample {
			b.bad(at("record", "sample"), fmt.Errorf("sample is %d bytes a second; use %d to %d, or leave it out to keep all", *r.Sample, leastSample, mostSample))
		}
	}
	s.keep = Keep{Source: s.name, Dir: r.Dir, Age: r.Keep, Bytes: r.MaxBytes}
	if r.Keep != 0 && r.Keep < leastKeep {
		b.bad(at("record", "keep"), fmt.Errorf("recordings are removed after %v; use %v or more, such as %q for 90 days, or leave it out to remove none", r.Keep, leastKeep, "2160h"))
	}
	if r.MaxBytes != 0 && r.MaxBytes < leastMaxBytes {
		b.bad(at("record", "maxBytes"), fmt.Errorf("maxBytes is %d; use %d or more, or leave it out for no limit", r.MaxBytes, leastMaxBytes))
	}
	if r.Dir != "" && !filepath.IsAbs(r.Dir) {
		b.bad(at("record", "dir"), fmt.Errorf("dir %q is not an absolute path; begin it with /, or leave it out for the state directory", r.Dir))
	}
}

// Keep is what a source says of recordings that are done: how long they are kept,
// and how much of them; 0 is no limit. Dir is "" for the state directory's.
type Keep struct {
	Source, Dir string
	Age         time.Duration
	Bytes       int64
}

// Keeping returns what the sources say of their recordings, those that keep all
// left out.
func (p *Policy) Keeping() (all []Keep) {
	for _, name := range p.names {
		if k := p.sources[name].keep; k.Age > 0 || k.Bytes > 0 {
			all = append(all, k)
		}
	}
	return all
}

// OperationClaim is the claim of a token that names the operation a session is a
// part of. EmailClaim is that with the e-mail address of whoever opens it.
const (
	OperationClaim = "operation_id"
	EmailClaim     = "operation_user_email"
)

const (
	maxLabels = 32
	maxLabel  = 256 // bytes
)

var labelForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._/-]{1,64}$`) })

// labels checks what a source says of its sessions.
func (b *builder) labels(s *source, c Source, at func(...string) string) {
	s.labels, s.labelClaims = maps.Clone(c.Labels), slices.Clone(c.LabelClaims)
	for name, value := range c.Labels {
		b.bad(at("labels", name), checkLabelName(name))
		if len(value) > maxLabel || !utf8.ValidString(value) {
			b.bad(at("labels", name), fmt.Errorf("the label has %d bytes; use at most %d of UTF-8", len(value), maxLabel))
		}
	}
	for i, name := range c.LabelClaims {
		b.bad(at("labelClaims", strconv.Itoa(i)), checkLabelName(name))
		if _, both := c.Labels[name]; both {
			b.bad(at("labelClaims", strconv.Itoa(i)), fmt.Errorf("%q is one of labels, which a claim does not replace; keep one of the two", name))
		}
	}
	if n := len(c.Labels) + len(c.LabelClaims); n > maxLabels {
		b.bad(at("labels"), fmt.Errorf("%d labels with those from claims; at most %d", n, maxLabels))
	}
}

func checkLabelName(name string) error {
	if !labelForm().MatchString(name) {
		return fmt.Errorf("%q cannot name a label; use 1 to 64 of A-Z a-z 0-9 . _ / -", name)
	}
	return nil
}

// label fills in what the session is labelled with, from the source and from
// what the key's holder signed.
func (d *decision) label() {
	g, s := &d.grant, d.source
	if g.Forward == nil { // what it carries are connections, which say nothing on a screen
		g.Record, g.Drain = s.record, s.drain
	}
	if text, ok := labelText(d.request.Claims[OperationClaim]); ok {
		g.Operation = text
	}
	g.Labels = maps.Clone(s.labels)
	for _, name := range s.labelClaims {
		if text, ok := labelText(d.request.Claims[name]); ok {
			if g.Labels == nil {
				g.Labels = make(map[string]string)
			}
			g.Labels[name] = text
		}
	}
	g.Email = d.email()
}

// labelText is a claim as a label: a string, number or boolean that is not long.
func labelText(v any) (text string, ok bool) {
	switch v := v.(type) {
	case string:
		text = v
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		text = strconv.FormatBool(v)
	}
	return text, text != "" && len(text) <= maxLabel && utf8.ValidString(text)
}

// RecordSummary is [shell.Record] as a configuration writes it.
type RecordSummary struct {
	Required   bool     `json:"required"`
	Input      bool     `json:"input"`
	Recipients []string `json:"recipients,omitempty"`
	Sample     int64    `json:"sample,omitempty"`
	// Dir is "" for the state directory's.
	Dir string `json:"dir,omitempty"`
	// Keep is "" and MaxBytes 0 for no limit.
	Keep     string `json:"keep,omitempty"`
	MaxBytes int64  `json:"maxBytes,omitempty"`
}

func summarizeRecord(r *shell.Record, k Keep) *RecordSummary {
	if r == nil {
		return nil
	}
	sum := &RecordSummary{r.Required, r.Input, slices.Clone(r.Recipients), r.Sample, r.Dir, "", k.Bytes}
	if k.Age > 0 {
		sum.Keep = k.Age.String()
	}
	return sum
}
