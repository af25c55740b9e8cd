package jwtauth

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// decodeClaims reads and checks the claims of a token whose signature held.
func decodeClaims(t Type, payload []byte) (Claims, error) {
	var c Claims
	var have claim
	if !t.isRequest() {
		c.Map = make(map[string]any, 8)
	}
	err := eachMember(payload, func(name string, dec *jsontext.Decoder) error {
		bit, err := lookup(name)
		if err != nil {
			return err
		}
		have |= bit
		return c.read(bit, name, dec)
	})
	if err != nil {
		return Claims{}, refuse(ReasonClaims, err)
	}
	if err := checkPresence(t, have); err != nil {
		return Claims{}, refuse(ReasonClaims, err)
	}
	if err := c.check(t); err != nil {
		return Claims{}, err
	}
	return c, nil
}

// read takes one claim's value, for its field and for the map.
func (c *Claims) read(bit claim, name string, dec *jsontext.Decoder) error {
	var value any
	var err error
	switch bit {
	case claimIssuedAt, claimExpires:
		return c.readDate(bit, name, dec)
	case 0, claimNotBefore:
		value, err = readValue(dec, 1)
	case claimSession:
		if value, err = readValue(dec, 1); err == nil {
			err = c.setSession(value)
		}
	default:
		field := c.text(bit)
		*field, err = readText(name, dec)
		if c.Map != nil {
			value = *field
		}
	}
	if err != nil || c.Map == nil {
		return err
	}
	c.Map[name] = value
	return checkCase(c.Map, name)
}

func readText(name string, dec *jsontext.Decoder) (string, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	if token.Kind() != '"' {
		return "", fmt.Errorf("claim %s is not a string", name)
	}
	text := token.String()
	if text == "" {
		return "", fmt.Errorf("claim %s is empty", name)
	}
	return text, nil
}

// readDate reads the number's own text: a float64 would have to be rounded.
func (c *Claims) readDate(bit claim, name string, dec *jsontext.Decoder) error {
	token, err := dec.ReadToken()
	if err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	if token.Kind() != '0' {
		return fmt.Errorf("claim %s is not a number", name)
	}
	date, err := ParseNumericDate(token.String())
	if err != nil {
		return fmt.Errorf("claim %s: %w", name, err)
	}
	if bit == claimIssuedAt {
		c.IssuedAt = date
	} else {
		c.Expires = date
	}
	if c.Map != nil {
		c.Map[name] = float64(date) / 1000
	}
	return nil
}

// text is the field of a claim that is a string.
func (c *Claims) text(bit claim) *string {
	switch bit {
	case claimID:
		return &c.ID
	case claimRequestHash:
		return &c.RequestHash
	case claimAudience:
		return &c.Audience
	case claimNonce:
		return &c.Nonce
	case claimSessionID:
		return &c.SessionID
	case claimBodyTag:
		return &c.BodyTag
	case claimShare:
		return &c.Share
	default:
		return &c.OpenHash
	}
}

func (c *Claims) setSession(value any) error {
	cnf, _ := value.(map[string]any)
	jwk, _ := cnf["jwk"].(map[string]any)
	if len(cnf) != 1 || jwk == nil {
		return errors.New(`claim cnf is not {"jwk":{…}}`)
	}
	key, err := publicFromMembers(jwk)
	if err != nil {
		return fmt.Errorf("claim cnf: %w", err)
	}
	c.Session = key
	return nil
}
