package config

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// durations reads every time.Duration of the caller's struct, so that packages
// use the plain type and need not know this one.
var durations = json.UnmarshalFromFunc(func(d *jsontext.Decoder, to *time.Duration) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	switch token.Kind() {
	case '"':
		*to, err = time.ParseDuration(token.String())
	case '0':
		*to, err = seconds(token.String())
	default:
		err = strconv.ErrSyntax
	}
	if err != nil {
		return fmt.Errorf(`%s is not a time span; write "90s", "15m", "8h", or a number of seconds`, shown(token))
	}
	return nil
})

func seconds(text string) (time.Duration, error) {
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(s) > float64(math.MaxInt64/int64(time.Second)) {
		return 0, strconv.ErrRange
	}
	return time.Duration(math.Round(s * float64(time.Second))), nil
}

func shown(token jsontext.Token) string {
	switch token.Kind() {
	case '"':
		return strconv.Quote(token.String())
	case '{', '[':
		return "a list or an object"
	}
	return token.String()
}
