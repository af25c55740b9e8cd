package jwtauth_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// claimsText builds JSON of claims member by member, so that any can be
// replaced, dropped or added.
type claimsText map[string]string

func (c claimsText) with(name, value string) claimsText {
	out := claimsText{}
	for k, v := range c {
		out[k] = v
	}
	if value == "" {
		delete(out, name)
	} else {
		out[name] = value
	}
	return out
}

func (c claimsText) String() string {
	var members []string
	for name, value := range c {
		members = append(members, fmt.Sprintf("%q:%s", name, value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func goodClaims(t *testing.T, typ jwtauth.Type) claimsText {
	hash := `"` + jwtauth.RequestHash("GET", "/", nil) + `"`
	c := claimsText{"iat": "1800000000.5", "exp": "1800000005.500"}
	switch typ {
	case jwtauth.TypeIdentity:
		c["jti"], c["rh"], c["aud"] = `"`+jwtauth.NewID()+`"`, hash, hash
		c["cnf"] = `{"jwk":` + string(newKey(t).PublicKey().JWK()) + `}`
	case jwtauth.TypeRequest:
		c["jti"], c["rh"] = `"7"`, hash
	case jwtauth.TypeHost:
		c["aud"], c["sid"], c["oth"] = hash, hash, hash
	}
	return c
}

func TestClaimsRefused(t *testing.T) {
	key := newKey(t)
	ec := keysOfEachKind(t)["ecdsa"].PublicKey()
	check := func(typ jwtauth.Type, name, payload, reason string) {
		t.Run(string(typ)+"/"+name, func(t *testing.T) {
			_, err := verify(key.PublicKey(), forge(t, key, headerOf(key, typ), payload))
			wantReason(t, err, reason)
		})
	}
	for _, typ := range []jwtauth.Type{jwtauth.TypeIdentity, jwtauth.TypeRequest, jwtauth.TypeHost} {
		good := goodClaims(t, typ)
		if _, err := verify(key.PublicKey(), forge(t, key, headerOf(key, typ), good.String())); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		for name, value := range good {
			check(typ, "without "+name, good.with(name, "").String(), jwtauth.ReasonClaims)
			check(typ, "null "+name, good.with(name, "null").String(), jwtauth.ReasonClaims)
			check(typ, "empty "+name, good.with(name, `""`).String(), jwtauth.ReasonClaims)
			check(typ, "array "+name, good.with(name, "["+value+"]").String(), jwtauth.ReasonClaims)
			text := good.String()
			check(typ, "doubled "+name, fmt.Sprintf(`%s,%q:%s}`, text[:len(text)-1], name, value), jwtauth.ReasonClaims)
			check(typ, "escaped double "+name, fmt.Sprintf(`%s,"\u%04x%s":%s}`, text[:len(text)-1], name[0], name[1:], value), jwtauth.ReasonClaims)
			check(typ, "case variant of "+name, good.with(strings.ToUpper(name[:1])+name[1:], value).String(), jwtauth.ReasonClaims)
		}
		check(typ, "ends with its start", good.with("exp", "1800000000.5").String(), jwtauth.ReasonLifetime)
		check(typ, "ends before its start", good.with("exp", "1800000000").String(), jwtauth.ReasonLifetime)
		check(typ, "lives a millisecond too long", good.with("exp", "1800000005.501").String(), jwtauth.ReasonLifetime)
		check(typ, "lives for years", good.with("exp", "253402300799").String(), jwtauth.ReasonLifetime)
		check(typ, "exponent", good.with("iat", "1.8e9").String(), jwtauth.ReasonClaims)
		check(typ, "negative date", good.with("iat", "-1").String(), jwtauth.ReasonClaims)
		check(typ, "microseconds", good.with("iat", "1800000000.500001").String(), jwtauth.ReasonClaims)
		check(typ, "date as text", good.with("iat", `"1800000000.5"`).String(), jwtauth.ReasonClaims)
		check(typ, "nbf", good.with("nbf", "1800000000").String(), jwtauth.ReasonClaims)
		check(typ, "two objects", good.String()+good.String(), jwtauth.ReasonClaims)
		check(typ, "cut short", good.String()[:len(good.String())-1], jwtauth.ReasonClaims)
		check(typ, "array", "["+good.String()+"]", jwtauth.ReasonClaims)
		check(typ, "comment", "//\n"+good.String(), jwtauth.ReasonClaims)
		check(typ, "invalid UTF-8", good.with("x", "\"\xff\"").String(), jwtauth.ReasonClaims)
		check(typ, "too deep", good.with("x", "[[[[]]]]").String(), jwtauth.ReasonClaims)
		check(typ, "very deep", good.with("x", strings.Repeat("[", 2000)+strings.Repeat("]", 2000)).String(), jwtauth.ReasonClaims)
		check(typ, "too large", good.with("x", `"`+strings.Repeat("x", jwtauth.MaxPayload)+`"`).String(), jwtauth.ReasonMalformed)
		check(typ, "number out of range", good.with("x", "1e999").String(), jwtauth.ReasonClaims)
		check(typ, "nested double", good.with("x", `{"a":1,"a":2}`).String(), jwtauth.ReasonClaims)
		many := good
		for i := range jwtauth.MaxClaims {
			many = many.with(fmt.Sprintf("x%d", i), "1")
		}
		check(typ, "too many", many.String(), jwtauth.ReasonClaims)
	}

	identity := goodClaims(t, jwtauth.TypeIdentity)
	for name, value := range map[string]string{
		"jti too short": `jti "AAAA"`, "jti too long": `jti "AAAAAAAAAAAAAAAAAAAAAAA"`, "jti not base64url": `jti "AAAAAAAAAAAAAAAAAAAAA="`,
		"rh too short": `rh "AAAA"`, "aud is a name": `aud "host"`,
		"session id": `sid ` + identity["rh"], "nonce with spaces": `nonce "a b"`, "long nonce": `nonce "` + strings.Repeat("A", 129) + `"`,
		"cnf with a kid": `cnf {"kid":"x"}`, "cnf with two": `cnf {"jwk":` + string(newKey(t).PublicKey().JWK()) + `,"kid":"x"}`,
		"cnf not Ed25519":        `cnf {"jwk":` + string(ec.JWK()) + `}`,
		"cnf with a private key": `cnf {"jwk":{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}`,
	} {
		claim, text, _ := strings.Cut(value, " ")
		check(jwtauth.TypeIdentity, name, identity.with(claim, text).String(), jwtauth.ReasonClaims)
	}
	check(jwtauth.TypeIdentity, "labels differ in case", identity.with("team", "1").with("Team", "2").String(), jwtauth.ReasonClaims)

	request := goodClaims(t, jwtauth.TypeRequest)
	for _, counter := range []string{"0", "01", "-1", "+1", "1.0", "1e3", " 1", "18446744073709551616", "x"} {
		check(jwtauth.TypeRequest, "counter "+counter, request.with("jti", `"`+counter+`"`).String(), jwtauth.ReasonClaims)
	}
	check(jwtauth.TypeRequest, "aud", request.with("aud", identity["aud"]).String(), jwtauth.ReasonClaims)
	check(jwtauth.TypeRequest, "cnf", request.with("cnf", identity["cnf"]).String(), jwtauth.ReasonClaims)
	host := goodClaims(t, jwtauth.TypeHost)
	check(jwtauth.TypeHost, "jti", host.with("jti", identity["jti"]).String(), jwtauth.ReasonClaims)
	check(jwtauth.TypeHost, "nonce", host.with("nonce", `"AAAA"`).String(), jwtauth.ReasonClaims)
}

func TestDecodeObject(t *testing.T) {
	got, err := jwtauth.DecodeObject([]byte(` {"a":[1.5,true,null,{"b":"\u00e9"}],"c":{"A":1,"a":2}} `))
	want := map[string]any{
		"a": []any{1.5, true, nil, map[string]any{"b": "é"}},
		"c": map[string]any{"A": 1.0, "a": 2.0},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := jwtauth.DecodeObject([]byte("{}")); err != nil || got == nil || len(got) != 0 {
		t.Errorf("an empty object is %v, %v", got, err)
	}
	for _, text := range []string{"", " ", "null", "[]", `"x"`, "{", "{}{}", "{} x", `{"a":1,}`, `{"a":1 "b":2}`, `{'a':1}`, `{"a":NaN}`,
		`{"a":1,"A":2}`, `{"a":[[[[1]]]]}`, `{"a":` + strings.Repeat(" ", jwtauth.MaxPayload) + `1}`} {
		if got, err := jwtauth.DecodeObject([]byte(text)); err == nil {
			t.Errorf("%.40q reads as %v", text, got)
		}
	}
}

func TestUnicodeFoldOfARegisteredName(t *testing.T) {
	key := newKey(t)
	// U+017F folds to s, so a reader that folds takes this for sid.
	payload := goodClaims(t, jwtauth.TypeHost).with("ſid", `"x"`).String()
	_, err := verify(key.PublicKey(), forge(t, key, headerOf(key, jwtauth.TypeHost), payload))
	wantReason(t, err, jwtauth.ReasonClaims)
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	key := newKey(t)
	cases := map[string]func(*jwtauth.Claims){
		"no id":            func(c *jwtauth.Claims) { c.ID = "" },
		"no audience":      func(c *jwtauth.Claims) { c.Audience = "" },
		"no session":       func(c *jwtauth.Claims) { c.Session = jwtauth.PublicKey{} },
		"session id":       func(c *jwtauth.Claims) { c.SessionID = c.Audience },
		"long life":        func(c *jwtauth.Claims) { c.Expires = c.IssuedAt + 5001 },
		"quote in an id":   func(c *jwtauth.Claims) { c.ID = `","x":"aaaaaaaaaaaaaa` },
		"reserved label":   func(c *jwtauth.Claims) { c.Extra = map[string]any{"rh": "x"} },
		"variant label":    func(c *jwtauth.Claims) { c.Extra = map[string]any{"Aud": "x"} },
		"labels in case":   func(c *jwtauth.Claims) { c.Extra = map[string]any{"a": 1, "A": 2} },
		"deep label":       func(c *jwtauth.Claims) { c.Extra = map[string]any{"a": [][][][]int{{{{1}}}}} },
		"large label":      func(c *jwtauth.Claims) { c.Extra = map[string]any{"a": strings.Repeat("x", 7000)} },
		"label of no JSON": func(c *jwtauth.Claims) { c.Extra = map[string]any{"a": func() {}} },
		"nested doubles":   func(c *jwtauth.Claims) { c.Extra = map[string]any{"a": rawJSON(`{"b":1,"b":2}`)} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			c := identityClaims(t, time.Now())
			change(&c)
			if token, err := jwtauth.Sign(context.Background(), key, jwtauth.TypeIdentity, c); err == nil {
				t.Errorf("signed %s", token)
			}
		})
	}
	if _, err := jwtauth.Sign(context.Background(), key, "JWT", identityClaims(t, time.Now())); err == nil {
		t.Error("signed a token of an unknown type")
	}
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func TestNumericDate(t *testing.T) {
	cases := []struct {
		text string
		ms   jwtauth.NumericDate
		back string // "" when text is the canonical form
	}{
		{"0", 0, ""}, {"0.001", 1, ""}, {"0.1", 100, ""}, {"1800000000", 1_800_000_000_000, ""},
		{"1800000000.123", 1_800_000_000_123, ""}, {"1800000000.12", 1_800_000_000_120, ""},
		{"1800000000.000", 1_800_000_000_000, "1800000000"}, {"1.50", 1500, "1.5"},
		{"253402300799.999", 253402300799999, ""},
	}
	for _, c := range cases {
		got, err := jwtauth.ParseNumericDate(c.text)
		if err != nil || got != c.ms {
			t.Errorf("%s reads as %d, %v", c.text, got, err)
		}
		want := c.back
		if want == "" {
			want = c.text
		}
		if got.String() != want {
			t.Errorf("%s comes back as %s", c.text, got)
		}
	}
	for _, text := range []string{"", ".", ".5", "1.", "01", "00", "-1", "+1", "1e9", "1.0000", "1.5 ", " 1", "0x1", "1_0",
		"253402300800", "999999999999999999999", "NaN", "null", `"1"`, "1.-1"} {
		if got, err := jwtauth.ParseNumericDate(text); err == nil {
			t.Errorf("%q reads as %d", text, got)
		}
	}
	now := time.Now()
	if d := jwtauth.NumericDateOf(now); !d.Time().Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("%s became %s", now, d.Time())
	}
}
