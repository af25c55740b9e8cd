package playback

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"shellagent/audit"
)

// filter is what lines of a trail are chosen by; the zero value takes all.
type filter struct {
	subject, source, user, key, session, remote, event string
	since, until                                       time.Time
}

// prepare returns a quick look at raw lines, which lets too many through and
// never too few: most lines are not decoded at all.
func (f *filter) prepare() func([]byte) bool {
	var needles [][]byte
	add := func(name, value string, whole bool) {
		if value == "" {
			return
		}
		quoted, _ := jsontext.AppendQuote([]byte(`"`+name+`":`), value)
		if !whole {
			quoted = quoted[:len(quoted)-1]
		}
		needles = append(needles, quoted)
	}
	add("subject", f.subject, true)
	add("source", f.source, true)
	add("user", f.user, true)
	add("key", f.key, true)
	add("session", f.session, false)
	add("remote", f.remote, true)
	kind, family := strings.CutSuffix(f.event, "*")
	add("event", kind, !family)
	return func(raw []byte) bool {
		for _, n := range needles {
			if !bytes.Contains(raw, n) {
				return false
			}
		}
		return true
	}
}

// takes judges what was decoded.
func (f *filter) takes(e *audit.Event) bool {
	kind, family := strings.CutSuffix(f.event, "*")
	switch {
	case !f.since.IsZero() && e.Time.Before(f.since), !f.until.IsZero() && !e.Time.Before(f.until),
		family && !strings.HasPrefix(string(e.Kind), kind), !family && kind != "" && string(e.Kind) != kind,
		!strings.HasPrefix(e.Session, f.session):
		return false
	}
	for _, pair := range [][2]string{
		{f.subject, e.Subject}, {f.source, e.Source}, {f.user, e.User}, {f.key, e.Key}, {f.remote, e.Remote},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

// parseTime reads a time as a person writes it; "" is the zero time.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", time.RFC3339Nano} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, errors.New("write 2026-01-02, \"2026-01-02 15:04:05\", RFC 3339, or how long ago: 90m, 24h, 7d")
}
