package jwtauth_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"shellagent/jwtauth"
)

func eachVectorToken(f *testing.F, add func(token string)) {
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		f.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		f.Fatal(err)
	}
	for _, t := range v.Tokens {
		add(t.Token)
	}
	for _, t := range v.Refused {
		add(t.Token)
	}
	add(v.MAC.Open)
	add(v.MAC.Answer)
	for _, t := range append(v.MAC.Requests, v.MAC.Refused...) {
		add(t.Token)
	}
}

// What Parse accepts, encoding/json reads the same from the header, and the
// token is exactly the three parts encoded again.
func FuzzParse(f *testing.F) {
	eachVectorToken(f, func(token string) { f.Add(token) })
	dummy, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		checkParse(t, token, dummy.PublicKey())
		// A header as it is, so that the fuzzer need not learn base64.
		checkParse(t, b64.EncodeToString([]byte(token))+".e30.AAAA", dummy.PublicKey())
	})
}

func checkParse(t *testing.T, token string, k jwtauth.PublicKey) {
	u, err := jwtauth.Parse(token)
	if err != nil {
		if !reflect.DeepEqual(u, jwtauth.Unverified{}) {
			t.Error("a refused token has a header")
		}
		return
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > jwtauth.MaxToken {
		t.Fatalf("took %q", token)
	}
	header := mustDecode(t, parts[0])
	if b64.EncodeToString(header) != parts[0] {
		t.Error("the header's encoding is not the only one")
	}
	var members map[string]string
	if err := json.Unmarshal(header, &members); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", header, err)
	}
	want := map[string]string{"alg": u.Alg, "typ": string(u.Type), "kid": u.Kid}
	if !reflect.DeepEqual(members, want) {
		t.Errorf("encoding/json reads %q, the scanner %q", members, want)
	}
	if _, err := u.Verify(k); err == nil {
		t.Error("a signature out of nowhere holds")
	}
	jwtauth.VerifyDummy(u)
}

// Claims that were accepted are what encoding/json reads, too, and hold what
// their type promises.
func FuzzClaims(f *testing.F) {
	eachVectorToken(f, func(token string) {
		if parts := strings.Split(token, "."); len(parts) == 3 {
			if payload, err := b64.DecodeString(parts[1]); err == nil {
				f.Add(string(payload), uint8(0))
				f.Add(string(payload), uint8(1))
				f.Add(string(payload), uint8(2))
			}
		}
	})
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		f.Fatal(err)
	}
	types := []jwtauth.Type{jwtauth.TypeIdentity, jwtauth.TypeRequest, jwtauth.TypeHost}
	f.Fuzz(func(t *testing.T, payload string, kind uint8) {
		typ := types[int(kind)%len(types)]
		if len(payload) == 0 || len(payload) > jwtauth.MaxPayload {
			return
		}
		token, err := verify(key.PublicKey(), forge(t, key, headerOf(key, typ), payload))
		if err != nil {
			return
		}
		c := token.Claims
		if life := c.Expires - c.IssuedAt; life <= 0 || life > 5000 {
			t.Errorf("lives %d ms", life)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(payload), &members); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", payload, err)
		}
		switch typ {
		case jwtauth.TypeRequest:
			checkPlain(t, key, token, payload)
		case jwtauth.TypeIdentity:
			checkAgreement(t, token)
		}
		for name, want := range map[string]jwtauth.NumericDate{"iat": c.IssuedAt, "exp": c.Expires} {
			if got, err := jwtauth.ParseNumericDate(string(members[name])); err != nil || got != want {
				t.Errorf("%s is %d, encoding/json has %s", name, want, members[name])
			}
		}
		// A reader that ignores case finds the same.
		var folded struct{ Jti, RH, Aud, Nonce, Sid, Oth, X25519 string }
		if err := json.Unmarshal([]byte(payload), &folded); err != nil {
			t.Fatal(err)
		}
		if folded.Jti != c.ID || folded.RH != c.RequestHash || folded.Aud != c.Audience ||
			folded.Nonce != c.Nonce || folded.Sid != c.SessionID || folded.Oth != c.OpenHash || folded.X25519 != c.Share {
			t.Errorf("read %+v, encoding/json %+v", c, folded)
		}
	})
}

// checkPlain holds what was read in a hurry against the same claims behind a
// space, which are read with care.
func checkPlain(t *testing.T, key *jwtauth.PrivateKey, quick *jwtauth.Token, payload string) {
	t.Helper()
	if len(payload) == jwtauth.MaxPayload {
		return
	}
	slow, err := verify(key.PublicKey(), forge(t, key, headerOf(key, jwtauth.TypeRequest), " "+payload))
	if err != nil {
		t.Fatalf("with a space in front it is refused: %v", err)
	}
	if !reflect.DeepEqual(quick.Claims, slow.Claims) || quick.Counter() != slow.Counter() {
		t.Errorf("read %+v, with care %+v", quick.Claims, slow.Claims)
	}
}

// checkAgreement agrees with a share that its maker may not have made well: it
// is refused, or both keys are there and differ.
func checkAgreement(t *testing.T, token *jwtauth.Token) {
	t.Helper()
	m, answer, err := jwtauth.AgreeMAC(token, someHash)
	switch {
	case err != nil:
		wantReason(t, err, jwtauth.ReasonClaims)
	case (m != nil) != (token.Claims.Share != ""), (m != nil) != (answer != ""):
		t.Errorf("agreed on %v, %q with %q", m, answer, token.Claims.Share)
	case m != nil && bytes.Equal(m.State().Token, m.State().Body):
		t.Error("one key for two purposes")
	}
}

// What DecodeObject accepts, encoding/json reads the same.
func FuzzDecodeObject(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5,null,true,{"b":"\u00e9\ud83d\ude00"}],"c":""}`))
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got, err := jwtauth.DecodeObject(data)
		if !bytes.Equal(before, data) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		var want map[string]any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, encoding/json %v", got, want)
		}
	})
}

// A key that was read is written as a line that reads the same.
func FuzzParsePublicKey(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPPDH9Wf0GGhKIyLjbDiu0hB3h2FZfUKZhJWvbq3TPcP alice")
	f.Add("ed25519public:MCowBQYDK2VwAyEAJb9C2YlvNY2liircHRc4sresVmxCkPekzrHFTGQfHWg=:etcha_build_signingKey")
	f.Add("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAAA x")
	f.Add(`from="10.0.0.0/8",restrict ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB`)
	f.Fuzz(func(t *testing.T, line string) {
		k, label, err := jwtauth.ParsePublicKey(line)
		if err != nil {
			if !k.IsZero() {
				t.Error("a refused line gives a key")
			}
			return
		}
		again, sameLabel, err := jwtauth.ParsePublicKey(k.AuthorizedKey(label))
		if err != nil || !again.Equal(k) {
			t.Errorf("%q comes back as %v, %v", line, again, err)
		}
		if strings.TrimSpace(label) == label && sameLabel != label {
			t.Errorf("label %q comes back as %q", label, sameLabel)
		}
		if jwk, err := jwtauth.ParseJWK(k.JWK()); err != nil || jwk.Thumbprint() != k.Thumbprint() {
			t.Errorf("%s does not read back: %v", k.JWK(), err)
		}
	})
}

// A date that was read and has no trailing zeros is written byte for byte, and
// every date that was written is read.
func FuzzNumericDate(f *testing.F) {
	for _, s := range []string{"0", "0.001", "1800000000.123", "1.50", "1e9", "01", "253402300799.999", "-1"} {
		f.Add(s, int64(len(s)))
	}
	f.Fuzz(func(t *testing.T, text string, ms int64) {
		if d, err := jwtauth.ParseNumericDate(text); err == nil {
			canonical := text
			if strings.Contains(text, ".") {
				canonical = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
			}
			if d.String() != canonical {
				t.Errorf("%s comes back as %s", text, d)
			}
		}
		d := jwtauth.NumericDate(ms)
		out, err := d.MarshalJSON()
		if err != nil {
			return
		}
		var back jwtauth.NumericDate
		if err := json.Unmarshal(out, &back); err != nil || back != d {
			t.Errorf("%d is written as %s and read as %d, %v", ms, out, back, err)
		}
	})
}
