package jwtauth

import (
	"errors"
	"strconv"
	"time"
)

// NumericDate is a moment in milliseconds since 1970-01-01T00:00:00Z without
// leap seconds. In JSON it is RFC 7519's number of seconds, with at most three
// decimals. It is a type of its own because tokens live five seconds: whole
// seconds, as golang-jwt keeps them, would be a fifth of that.
type NumericDate int64

// maxDate is the last millisecond of the year 9999.
const maxDate NumericDate = 253402300799999

// NumericDateOf returns t cut to milliseconds.
func NumericDateOf(t time.Time) NumericDate { return NumericDate(t.UnixMilli()) }

// Time returns the moment in UTC.
func (d NumericDate) Time() time.Time { return time.UnixMilli(int64(d)).UTC() }

// Add returns d plus a duration cut to milliseconds.
func (d NumericDate) Add(t time.Duration) NumericDate { return d + NumericDate(t.Milliseconds()) }

// String returns the JSON form.
func (d NumericDate) String() string { return string(d.appendJSON(nil)) }

// MarshalJSON writes seconds with up to three decimals, without trailing zeros.
func (d NumericDate) MarshalJSON() ([]byte, error) {
	if d < 0 || d > maxDate {
		return nil, errDate
	}
	return d.appendJSON(nil), nil
}

// UnmarshalJSON reads what [ParseNumericDate] reads.
func (d *NumericDate) UnmarshalJSON(data []byte) error {
	parsed, err := ParseNumericDate(string(data))
	if err == nil {
		*d = parsed
	}
	return err
}

func (d NumericDate) appendJSON(b []byte) []byte {
	b = strconv.AppendInt(b, int64(d/1000), 10)
	ms := int64(d % 1000)
	if ms == 0 {
		return b
	}
	b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

var errDate = errors.New("date is not a number of seconds from 0 to the year 9999 with at most three decimals")

// ParseNumericDate reads seconds with up to three decimals, trailing zeros
// allowed. Signs, exponents, leading zeros and finer fractions are refused:
// nothing is rounded, so that everybody reads the same moment.
func ParseNumericDate(s string) (NumericDate, error) {
	var ms int64
	i := 0
	for ; i < len(s) && isDigit(s[i]); i++ {
		if i == 12 {
			return 0, errDate
		}
		ms = ms*10 + int64(s[i]-'0')
	}
	if i == 0 || i > 1 && s[0] == '0' {
		return 0, errDate
	}
	ms *= 1000
	if i < len(s) {
		decimals := s[i+1:]
		if s[i] != '.' || len(decimals) == 0 || len(decimals) > 3 {
			return 0, errDate
		}
		for j, unit := 0, int64(100); j < len(decimals); j, unit = j+1, unit/10 {
			if !isDigit(decimals[j]) {
				return 0, errDate
			}
			ms += int64(decimals[j]-'0') * unit
		}
	}
	if NumericDate(ms) > maxDate {
		return 0, errDate
	}
	return NumericDate(ms), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
