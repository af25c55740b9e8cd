package jwtauth

import "strings"

// readPlain reads the claims of a request token in the form in which most
// clients write them, which is nearly all there is to read for a keystroke:
//
//	{"iat":1800000000.123,"exp":1800000005.123,"jti":"1","rh":"…"}
//
// with the dates first, the others in any order, and nothing else. What it does
// not know, and what is wrong, it leaves to [decodeClaims]: it accepts nothing
// that is refused there, and reads the same (FuzzClaims). The claims keep s.
func readPlain(t Type, s string) (c Claims, ok bool) {
	var iat, exp string
	if s, ok = strings.CutPrefix(s, `{"iat":`); !ok {
		return c, false
	}
	if iat, s, ok = strings.Cut(s, `,"exp":`); !ok {
		return c, false
	}
	comma := strings.IndexByte(s, ',')
	if comma < 0 {
		return c, false
	}
	exp, s = s[:comma], s[comma:]
	var err error
	if c.IssuedAt, err = ParseNumericDate(iat); err != nil {
		return c, false
	}
	if c.Expires, err = ParseNumericDate(exp); err != nil {
		return c, false
	}
	have := claimIssuedAt | claimExpires
	for s != "}" {
		var name, value string
		if name, value, s, ok = cutText(s); !ok {
			return c, false
		}
		bit, field := c.plain(name)
		if bit == 0 || have&bit != 0 {
			return c, false
		}
		have |= bit
		*field = value
	}
	return c, checkPresence(t, have) == nil && c.check(t) == nil
}

// plain is the claim of a request token with that name, and where it goes.
func (c *Claims) plain(name string) (claim, *string) {
	switch name {
	case "jti":
		return claimID, &c.ID
	case "rh":
		return claimRequestHash, &c.RequestHash
	case "bm":
		return claimBodyTag, &c.BodyTag
	case "nonce":
		return claimNonce, &c.Nonce
	default:
		return 0, nil
	}
}

// cutText cuts `,"name":"value"` off. A value is base64url, and not empty; a
// name is compared by the caller.
func cutText(s string) (name, value, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, `,"`); !ok {
		return "", "", "", false
	}
	if name, s, ok = strings.Cut(s, `":"`); !ok {
		return "", "", "", false
	}
	end := strings.IndexByte(s, '"')
	if end <= 0 || !isBase64URL(s[:end]) {
		return "", "", "", false
	}
	return name, s[:end], s[end+1:], true
}
