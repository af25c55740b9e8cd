package sources

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/config"
	"shellagent/jwtauth"
)

// KeyEntry is one entry of verifyKeys: a plain key as a string, or an object
// that says whose keys they are and what limits them.
type KeyEntry struct {
	// Key is a plain key: OpenSSH's line or Etcha's "ed25519public:…:id". Its
	// comment is a label and proves nothing. With Key the rest is empty.
	Key string `json:"-"`

	// Subject is the person: 1 to 64 of A-Z a-z 0-9 . _ @ + -. It may be left
	// out; "$subject" then has nobody to run as.
	Subject string `json:"subject"`
	// Email is the person's, for the audit trail and drains; "" leaves it to the
	// source's labels and the token.
	Email string   `json:"email"`
	Keys  []string `json:"keys"`
	// From are the addresses and networks the keys may come from; nil means any.
	From []string `json:"from"`
	// NotAfter is the last moment (RFC 3339) or the last day in UTC
	// ("2026-12-31") that the keys are good for.
	NotAfter string `json:"notAfter"`
	// Sources are those that the keys open; nil means all. Only in the global
	// list.
	Sources []string `json:"sources"`
}

// UnmarshalJSONFrom reads a string or an object.
func (e *KeyEntry) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"':
		err := json.UnmarshalDecode(d, &e.Key)
		if err == nil && strings.TrimSpace(e.Key) == "" {
			err = errors.New("the key is empty; give a line such as ssh-keygen writes into a .pub file")
		}
		return err
	case '{':
		type object KeyEntry // without this method
		return json.UnmarshalDecode(d, (*object)(e))
	}
	return errors.New(`a key entry is a string or an object; write "ssh-ed25519 AAAA… label" or {"subject": "alice", "keys": ["ssh-ed25519 AAAA…"]}`)
}

// entry is one key with what its [KeyEntry] says, as policy asks it. It is
// immutable: sources share it.
type entry struct {
	key     jwtauth.PublicKey
	thumb   string
	subject string
	email   string
	label   string
	from    []netip.Prefix
	limited bool // from was given
	// notAfter is the last good moment; zero means no end.
	notAfter time.Time
	// where says where the entry is written; pointer points at the key, or at
	// what names its file.
	where, pointer string
}

// named is an entry with the sources it is for.
type named struct {
	*entry
	sources []string
	all     bool
}

func (n named) opens(source string) bool {
	if n.all {
		return true
	}
	for _, s := range n.sources {
		if s == source {
			return true
		}
	}
	return false
}

var subjectForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._@+-]{1,64}$`) })

func checkSubject(subject string) error {
	if !subjectForm().MatchString(subject) {
		return fmt.Errorf("subject %q is not a name; use 1 to 64 of A-Z a-z 0-9 . _ @ + -", subject)
	}
	return nil
}

// compile returns the entries of e, which stands at pointer, and every mistake.
func (e KeyEntry) compile(pointer string) ([]named, []error) {
	if e.Key != "" {
		one, err := newEntry(e.Key)
		if err != nil {
			return nil, []error{config.Pointed(pointer, err)}
		}
		one.where, one.pointer = pointer, pointer
		return []named{{entry: one, all: true}}, nil
	}
	var errs []error
	bad := func(at string, err error) {
		if err != nil {
			errs = append(errs, config.Pointed(pointer+at, err))
		}
	}
	if e.Subject != "" {
		bad("/subject", checkSubject(e.Subject))
	}
	if e.Email != "" {
		bad("/email", checkEmail(e.Email))
	}
	if e.Keys == nil {
		bad("", errors.New(`the entry has no keys; add "keys": ["ssh-ed25519 AAAA…"], or [] for none`))
	}
	from, fromErrs := parseNetworks(pointer+"/from", e.From)
	errs = append(errs, fromErrs...)
	notAfter, err := parseNotAfter(e.NotAfter)
	bad("/notAfter", err)
	var entries []named
	for i, line := range e.Keys {
		at := "/keys/" + strconv.Itoa(i)
		one, err := newEntry(line)
		if err != nil {
			bad(at, err)
			continue
		}
		one.subject, one.email, one.from, one.limited, one.notAfter = e.Subject, e.Email, from, e.From != nil, notAfter
		one.where, one.pointer = pointer+at, pointer+at
		entries = append(entries, named{entry: one, sources: e.Sources, all: e.Sources == nil})
	}
	return entries, errs
}

func newEntry(line string) (*entry, error) {
	key, label, err := jwtauth.ParsePublicKey(line)
	if err != nil {
		return nil, fmt.Errorf("%w; give a public key as ssh-keygen writes it", err)
	}
	return &entry{key: key, thumb: key.Thumbprint(), label: label}, nil
}

// allows reports whether the entry may be used from addr. An address that is
// not known is in no network.
func (e *entry) allows(addr netip.Addr) bool {
	return !e.limited || within(e.from, addr)
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

func (e *entry) expired(now time.Time) bool {
	return !e.notAfter.IsZero() && now.After(e.notAfter)
}

// parseNetworks reads addresses and networks that stand at pointer.
func parseNetworks(pointer string, texts []string) ([]netip.Prefix, []error) {
	var errs []error
	networks := make([]netip.Prefix, 0, len(texts))
	for i, text := range texts {
		n, err := ParseNetwork(text)
		if err != nil {
			errs = append(errs, config.Pointed(pointer+"/"+strconv.Itoa(i), err))
			continue
		}
		networks = append(networks, n)
	}
	return networks, errs
}

// ParseNetwork reads an address, which is a network of itself, or a network
// without bits beyond its length.
func ParseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is not an address; write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32", text)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	n, err := netip.ParsePrefix(text)
	if err != nil || n.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write 10.0.0.0/8 or 2001:db8::/32", text)
	}
	if n != n.Masked() {
		// One of the two is not what was meant.
		return netip.Prefix{}, fmt.Errorf("%s has bits beyond its length; write %s, or %s for one address", text, n.Masked(), n.Addr())
	}
	return n, nil
}

// parseNotAfter reads a moment, or a day of which every moment counts.
func parseNotAfter(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, fmt.Errorf(`%q is not a time; write "2026-12-31" or "2026-12-31T18:00:00Z"`, text)
	}
	return day.AddDate(0, 0, 1).Add(-time.Nanosecond), nil
}

// compareEntries orders by subject and then by place.
func compareEntries(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.subject, b.subject), cmp.Compare(a.where, b.where), cmp.Compare(a.thumb, b.thumb))
}
