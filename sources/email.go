package sources

import (
	"fmt"
	"strings"
	"unicode"
)

// maxEmail is what a path of RFC 5321 section 4.5.3.1.3 has room for.
const maxEmail = 254

// checkEmail keeps out what is no address at a glance. It is told to whoever
// reads the trail, and no mail is sent there.
func checkEmail(text string) error {
	name, host, found := strings.Cut(text, "@")
	odd := strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) })
	if !found || name == "" || host == "" || odd || len(text) > maxEmail {
		return fmt.Errorf("%q is not an e-mail address; write alice@example.com, or leave it out", text)
	}
	return nil
}

// email is the address of whoever opens the session: as the key's entry says, or
// the command that vouches for the key, or the source's labels, or, last, as the
// key's holder says.
func (d *decision) email() string {
	if d.entry != nil && d.entry.email != "" {
		return d.entry.email
	}
	var said []any
	if v := d.request.Vouched; d.entry == nil && v != nil {
		said = append(said, v.Claims[EmailClaim])
	}
	for _, name := range []string{EmailClaim, "email"} {
		said = append(said, d.grant.Labels[name])
	}
	for _, one := range append(said, d.request.Claims[EmailClaim]) {
		if text, ok := one.(string); ok && checkEmail(text) == nil {
			return text
		}
	}
	return ""
}
