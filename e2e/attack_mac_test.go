package e2e

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// maced is a session whose requests are under a MAC. What it does is written
// from PROTOCOL.md §2.3 alone, so that an attack may do it otherwise.
type maced struct {
	*session
	tokenKey, bodyKey []byte
	// forger, when not nil, changes what is signed: the header, the claims, and
	// the key of the token.
	forger func(head string, c claims) (string, claims, []byte)
}

// startUnderMAC opens a session and agrees on a MAC.
func (a *attacker) startUnderMAC(source string, key *jwtauth.PrivateKey, body string) (*maced, answer) {
	r := request{
		method: "POST", target: "/v1/shell/" + source, body: []byte(body),
		headers: []string{"Accept: application/vnd.shellagent.frames"},
	}
	return a.agree(r, key)
}

// agree sends a request that opens or attaches, with a share.
func (a *attacker) agree(r request, key *jwtauth.PrivateKey) (*maced, answer) {
	k := newKey(a.t)
	m := &maced{session: &session{a: a, key: k, id: k.PublicKey().Thumbprint()}}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return m, answer{err: err}
	}
	share := encode(own.PublicKey().Bytes())
	r = signed(r, a.identity(r, k.PublicKey()).plus("x25519", strconv.Quote(share)), key)
	got := m.stream(r)
	if got.err == nil && got.status == 200 {
		got.err = m.derive(own, share, r.token)
	}
	return m, got
}

// derive reads the session event and makes the keys.
func (m *maced) derive(own *ecdh.PrivateKey, share, open string) error {
	host, err := m.hostToken()
	if err != nil {
		return err
	}
	m.id = host.Sid
	if host.X25519 == "" {
		return errors.New("the agent agreed on no MAC")
	}
	point, err := base64.RawURLEncoding.DecodeString(host.X25519)
	if err != nil {
		return err
	}
	peer, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return err
	}
	secret, err := own.ECDH(peer)
	if err != nil {
		return err
	}
	salt := sha256.Sum256([]byte(open))
	for purpose, key := range map[string]*[]byte{"token": &m.tokenKey, "body": &m.bodyKey} {
		info := strings.Join([]string{"shellagent mac 1", purpose, host.Sid, share, host.X25519}, "\n")
		if *key, err = hkdf.Key(sha256.New, secret, salt[:], info, 32); err != nil {
			return err
		}
	}
	return nil
}

// hostClaims are the claims of a host token that matter here.
type hostClaims struct{ Sid, X25519 string }

// hostToken reads the token in the session event, which others verify.
func (s *session) hostToken() (host hostClaims, err error) {
	var info shell.SessionInfo
	if err := json.Unmarshal(s.first, &info); err != nil {
		return host, err
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(info.Token, ".")[1])
	if err != nil {
		return host, err
	}
	return host, json.Unmarshal(payload, &host)
}

func (m *maced) bodyTag(counter uint64, r request) string {
	block, err := aes.NewCipher(m.bodyKey)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4), counter)
	sealed := gcm.Seal(nil, nonce, []byte(r.method+"\n"+r.target), r.body)
	return encode(sealed[len(sealed)-16:])
}

// tagged is a request with a token under the MAC.
func (m *maced) tagged(r request) request {
	m.counter++
	return m.taggedAs(r, m.counter)
}

func (m *maced) taggedAs(r request, counter uint64) request {
	now := time.Now()
	c := claims{
		{"iat", date(now)}, {"exp", date(now.Add(jwtauth.Lifetime))},
		{"jti", strconv.Quote(strconv.FormatUint(counter, 10))},
		{"bm", strconv.Quote(m.bodyTag(counter, r))},
	}
	head, key := header("HS256", jwtauth.TypeRequest, m.key.PublicKey().Thumbprint()), m.tokenKey
	if m.forger != nil {
		head, c, key = m.forger(head, c)
	}
	r.token = hs256(head, c.String(), key)
	return r
}

func hs256(head, payload string, key []byte) string {
	input := encode([]byte(head)) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + encode(mac.Sum(nil))
}

// typing is input under the MAC.
func (m *maced) typing(offset uint64, text string) request {
	body := shell.AppendStdin(nil, shell.Stdin{Offset: offset, Data: []byte(text)})
	return m.tagged(request{method: "POST", target: m.target("stdin"), body: body})
}

// underMAC attacks from inside a live session of alice's that is under a MAC. A
// good request goes before and after it: the attack broke nothing.
func underMAC(do func(a *victim, m *maced) answer) attack {
	return func(a *victim) answer {
		m, got := a.startUnderMAC("debug", a.alice, `{"argv":["cat"]}`)
		defer m.close()
		if got.err != nil || got.status != 200 {
			return answer{err: fmt.Errorf("no session to attack: %v", got)}
		}
		if got := a.raw(m.typing(0, "x").String()); got.status != 200 {
			return answer{err: fmt.Errorf("typing before: %v", got)}
		}
		result := do(a, m)
		m.forger = nil
		if got := a.raw(m.typing(1, "x").String()); got.status != 200 || got.next != 2 {
			return answer{err: fmt.Errorf("typing after: %v", got)}
		}
		return result
	}
}

// forged types with another header, other claims or another key. In claims, 3 is bm.
func forged(change func(a *victim, m *maced, head string, c claims) (string, claims, []byte)) attack {
	return underMAC(func(a *victim, m *maced) answer {
		m.forger = func(head string, c claims) (string, claims, []byte) { return change(a, m, head, c) }
		return a.raw(m.typing(1, "evil").String())
	})
}

// reclaimed types with other claims, which whoever has the keys could make.
func reclaimed(change func(m *maced, c claims) claims) attack {
	return forged(func(_ *victim, m *maced, head string, c claims) (string, claims, []byte) {
		return head, change(m, c), m.tokenKey
	})
}

// changedUnder types, and changes the request after it was signed.
func changedUnder(change func(r request) request) attack {
	return underMAC(func(a *victim, m *maced) answer { return a.raw(change(m.typing(1, "what was typed")).String()) })
}

// offered opens with another x25519.
func offered(share string) attack {
	return func(a *victim) answer {
		r := request{method: "POST", target: "/v1/shell/debug", body: []byte(`{"argv":["cat"]}`)}
		return a.raw(signed(r, a.identity(r, newKey(a.t).PublicKey()).plus("x25519", share), a.alice).String())
	}
}

func zeroShare(n int) string { return strconv.Quote(encode(make([]byte, n))) }

// attacksOnMAC are rows of the table of refusals, which TestEveryRefusal makes
// with the others.
var attacksOnMAC = map[shell.Reason]map[string]attack{
	shell.ReasonTokenAlgorithm: {
		"a MAC before any was agreed": within(func(a *victim, s *session) answer {
			m := &maced{session: s, tokenKey: make([]byte, 32), bodyKey: make([]byte, 32)}
			return a.raw(m.typing(0, "evil").String())
		}),
		"the session key as the secret, none agreed": within(func(a *victim, s *session) answer {
			m := &maced{session: s, tokenKey: s.key.PublicKey().JWK(), bodyKey: make([]byte, 32)}
			return a.raw(m.typing(0, "evil").String())
		}),
		"a MAC for an identity": forged(func(_ *victim, m *maced, _ string, c claims) (string, claims, []byte) {
			return header("HS256", jwtauth.TypeIdentity, m.key.PublicKey().Thumbprint()), c, m.tokenKey
		}),
		"HS512": forged(func(_ *victim, m *maced, _ string, c claims) (string, claims, []byte) {
			return header("HS512", jwtauth.TypeRequest, m.key.PublicKey().Thumbprint()), c, m.tokenKey
		}),
	},
	shell.ReasonSignature: {
		"the session key as the secret": forged(func(_ *victim, m *maced, head string, c claims) (string, claims, []byte) {
			return head, c, m.key.PublicKey().JWK()
		}),
		"its bare bytes as the secret": forged(func(_ *victim, m *maced, head string, c claims) (string, claims, []byte) {
			x := strings.Split(string(m.key.PublicKey().JWK()), `"x":"`)[1]
			raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(x, `"}`))
			return head, c, raw
		}),
		"no secret":    forged(func(_ *victim, _ *maced, head string, c claims) (string, claims, []byte) { return head, c, nil }),
		"the body key": forged(func(_ *victim, m *maced, head string, c claims) (string, claims, []byte) { return head, c, m.bodyKey }),
		"the MAC of another session": underMAC(func(a *victim, m *maced) answer {
			other, got := a.startUnderMAC("debug", a.alice, `{"argv":["cat"]}`)
			defer other.close()
			if got.status != 200 {
				return got
			}
			m.forger = func(head string, c claims) (string, claims, []byte) { return head, c, other.tokenKey }
			return a.raw(m.typing(1, "evil").String())
		}),
		"a signature that says HS256": underMAC(func(a *victim, m *maced) answer {
			r := m.stdin(1, "evil")
			payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(r.token, ".")[1])
			r.token = jws(header("HS256", jwtauth.TypeRequest, m.key.PublicKey().Thumbprint()), string(payload), m.key)
			return a.raw(r.String())
		}),
		"a MAC that says EdDSA": forged(func(_ *victim, m *maced, _ string, c claims) (string, claims, []byte) {
			return header("EdDSA", jwtauth.TypeRequest, m.key.PublicKey().Thumbprint()), c, m.tokenKey
		}),
		"a share cut out of an open": func(a *victim) answer {
			r := request{method: "POST", target: "/v1/shell/debug", body: []byte(`{"argv":["cat"]}`)}
			c := a.identity(r, newKey(a.t).PublicKey())
			r = signed(r, c.plus("x25519", zeroShare(32)), a.alice)
			parts := strings.Split(r.token, ".")
			r.token = parts[0] + "." + encode([]byte(c.String())) + "." + parts[2]
			return a.raw(r.String())
		},
	},
	shell.ReasonClaims: {
		"rh under a MAC": reclaimed(func(_ *maced, c claims) claims {
			return append(c[:3:3], claim{"rh", strconv.Quote(someSession)})
		}),
		"rh beside bm": reclaimed(func(_ *maced, c claims) claims { return c.plus("rh", strconv.Quote(someSession)) }),
		"no bm":        reclaimed(func(_ *maced, c claims) claims { return c.without("bm") }),
		"bm twice":     reclaimed(func(_ *maced, c claims) claims { return c.plus("bm", c[3].value) }),
		"a short bm":   reclaimed(func(_ *maced, c claims) claims { return c.with("bm", c[3].value[:20]+`"`) }),
		"counter 0":    reclaimed(func(_ *maced, c claims) claims { return c.with("jti", `"0"`) }),
		"bm with a signature": underMAC(func(a *victim, m *maced) answer {
			r := m.typing(1, "evil")
			payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(r.token, ".")[1])
			r.token = jws(header("EdDSA", jwtauth.TypeRequest, m.key.PublicKey().Thumbprint()), string(payload), m.key)
			return a.raw(r.String())
		}),
		"x25519 of zeros":     offered(zeroShare(32)),
		"x25519 of one":       offered(strconv.Quote(encode(append([]byte{1}, make([]byte, 31)...)))),
		"x25519 of 31 bytes":  offered(zeroShare(31)),
		"x25519 of 33 bytes":  offered(zeroShare(33)),
		"x25519 is no string": offered(`{"crv":"X25519","kty":"OKP","x":` + zeroShare(32) + `}`),
		"x25519 is empty":     offered(`""`),
	},
	shell.ReasonRequestHash: {
		"another body under a MAC": changedUnder(func(r request) request {
			copy(r.body[shell.StdinHeaderSize:], "what was not..")
			return r
		}),
		"a longer body under a MAC": changedUnder(func(r request) request { r.body = append(r.body, 0); return r }),
		"another verb under a MAC": changedUnder(func(r request) request {
			r.target = strings.Replace(r.target, "stdin", "control", 1)
			return r
		}),
		"the tag of another counter": underMAC(func(a *victim, m *maced) answer {
			m.forger = func(head string, c claims) (string, claims, []byte) {
				return head, c.with("jti", `"40"`), m.tokenKey
			}
			m.counter += 5
			return a.raw(m.typing(1, "evil").String())
		}),
	},
	shell.ReasonCounter: {
		"a replayed keystroke under a MAC": underMAC(func(a *victim, m *maced) answer {
			r := m.typing(1, "").String()
			if first := a.raw(r); first.status != 200 {
				return first
			}
			return a.raw(r)
		}),
		// A counter has one comparison: after a wrong body the right one is too late,
		// and nobody tries bodies under one token.
		"the body after another one": underMAC(func(a *victim, m *maced) answer {
			good := m.typing(1, "what was typed")
			bad := good
			bad.body = append([]byte(nil), good.body...)
			bad.body[len(bad.body)-1]++
			if first := a.raw(bad.String()); first.status != 401 {
				return answer{err: fmt.Errorf("another body: %v", first)}
			}
			return a.raw(good.String())
		}),
		"a counter of both kinds": underMAC(func(a *victim, m *maced) answer {
			r := m.stdin(1, "") // signed
			if first := a.raw(r.String()); first.status != 200 {
				return first
			}
			return a.raw(m.taggedAs(r, m.counter).String())
		}),
	},
	shell.ReasonSessionOwner: {
		"a MAC of one's own session": underMAC(func(a *victim, m *maced) answer {
			other, got := a.start("debug", a.alice, `{"argv":["cat"]}`)
			defer other.close()
			if got.status != 200 {
				return got
			}
			r := m.typing(0, "evil")
			r.target = other.target("stdin")
			return a.raw(m.tagged(r).String())
		}),
	},
	shell.ReasonTokenType: {
		"a MAC for a list": underMAC(func(a *victim, m *maced) answer {
			return a.raw(m.tagged(request{method: "GET", target: "/v1/sessions"}).String())
		}),
	},
}

// TestMACOutlivesWhatTheSessionDoes types under one MAC through a cut, a front
// that is killed and an upgrade; another client that takes the session over has
// one of its own.
func TestMACOutlivesWhatTheSessionDoes(t *testing.T) {
	h := upgradable(t, nil)
	a := newAttacker(t, h, "127.0.0.1")
	alice := loadKey(t, h.key)
	m, got := a.startUnderMAC("debug", alice, `{"argv":["cat"]}`)
	if got.err != nil || got.status != 200 {
		t.Fatalf("open: %v", got)
	}
	defer func() { m.close() }()
	var typed, shown uint64
	types := func(when string) {
		t.Helper()
		if got := a.raw(m.typing(typed, when).String()); got.status != 200 {
			t.Fatalf("typing %s: %v", when, got)
		}
		if text, err := m.output(when); err != nil || text != when {
			t.Fatalf("%s: the program sent %q, %v", when, text, err)
		}
		typed += uint64(len(when))
		shown = typed
	}
	resume := func() {
		t.Helper()
		m.close()
		got := m.stream(m.tagged(request{
			method: "GET", target: m.target("stream?from=" + strconv.FormatUint(shown, 10)),
			headers: []string{"Accept: application/vnd.shellagent.frames"},
		}))
		if got.err != nil || got.status != 200 {
			t.Fatalf("resume: %v", got)
		}
		if host, err := m.hostToken(); err != nil || host.Sid != m.id || host.X25519 != "" {
			t.Errorf("a stream that goes on agrees anew: %+v, %v", host, err)
		}
	}
	types("at first")
	resume()
	types("after a cut")
	h.killFront()
	h.waitFor("the agent to answer", h.healthy)
	resume()
	types("after another front")
	captured := m.typing(typed, "captured before the upgrade")
	if got := a.raw(captured.String()); got.status != 200 {
		t.Fatalf("typing: %v", got)
	}
	if _, err := m.output("upgrade"); err != nil {
		t.Fatal(err)
	}
	typed += uint64(len("captured before the upgrade"))
	shown = typed
	h.install(nil)
	h.reload(tookOver)
	if got := a.raw(captured.String()); got.code != "replayed" {
		t.Errorf("a replay after the upgrade: %v", got)
	}
	resume()
	types("after an upgrade")

	r := request{
		method: "POST", target: m.target("attach"),
		headers: []string{"Accept: application/vnd.shellagent.frames"},
	}
	taker, got := a.agree(r, alice)
	if got.err != nil || got.status != 200 {
		t.Fatalf("attach: %v", got)
	}
	defer taker.close()
	if got := a.raw(m.typing(typed, "evil").String()); got.code != "taken_over" {
		t.Errorf("typing on under the MAC of before: %v", got)
	}
	old := *taker
	old.tokenKey, old.bodyKey = m.tokenKey, m.bodyKey
	if got := a.raw(old.typing(typed, "evil").String()); got.code != "unauthorized" {
		t.Errorf("the MAC of before for the key that took over: %v", got)
	}
	if got := a.raw(taker.typing(typed, "mine").String()); got.status != 200 {
		t.Errorf("typing after the takeover: %v", got)
	}
	if text, err := taker.output("mine"); err != nil || strings.Contains(text, "evil") {
		t.Errorf("the program sent %q, %v", text, err)
	}
}
