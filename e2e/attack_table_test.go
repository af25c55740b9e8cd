package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// victim is what the table's attacks are made on: an agent with a way to meet
// every reason.
type victim struct {
	*attacker
	metrics string
	// alice may open everything that is not somebody's own, bob only "bobs";
	// carol has a key to use up; local must come from 127.128.0.0/9.
	alice, bob, carol, local, expired, elsewhere, revoked *jwtauth.PrivateKey
}

const (
	lockedUser  = "e2e-locked"
	expiredUser = "e2e-expired"
)

// makeUsers gives the host users that cannot log in.
func makeUsers(t *testing.T) {
	t.Helper()
	for name, change := range map[string][]string{
		lockedUser:  {"usermod", "-L", "-e", "", lockedUser},
		expiredUser: {"usermod", "-e", "1970-01-02", expiredUser},
	} {
		_ = exec.Command("userdel", name).Run()
		for _, line := range [][]string{{"useradd", "-M", "-s", "/bin/bash", "-p", "$6$unknown$unknown", name}, change} {
			if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", line, err, out)
			}
		}
		t.Cleanup(func() { _ = exec.Command("userdel", name).Run() })
	}
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	needRoot(t)
	makeUsers(t)
	a := &victim{metrics: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	h := startHost(t, func(h *host, c object) {
		a.alice = loadKey(t, h.key)
		line := func(k **jwtauth.PrivateKey) string {
			*k = newKey(t)
			return (*k).PublicKey().AuthorizedKey("")
		}
		revoked := line(&a.revoked)
		c["metrics"] = object{"address": a.metrics}
		c["verifyKeys"] = []any{
			object{"subject": "nobody-by-this-name", "keys": []string{h.publicKey(h.key)}},
			object{"keys": []string{line(&a.expired)}, "notAfter": "2020-01-01T00:00:00Z"},
			object{"keys": []string{line(&a.elsewhere)}, "from": []string{"192.0.2.0/24"}},
			object{"keys": []string{line(&a.local)}, "from": []string{"127.128.0.0/9"}},
			revoked, line(&a.carol),
		}
		c["revokedKeys"] = []string{revoked}
		source := func(more object) object {
			s := h.debugSource()
			for k, v := range more {
				s[k] = v
			}
			return s
		}
		as := func(user string) object { return object{"shell": "/bin/bash", "exec": object{"user": user}} }
		c["sources"] = object{
			"debug":   source(nil),
			"bobs":    source(object{"verifyKeys": []string{line(&a.bob)}}),
			"ruled":   source(object{"jwtRule": `source == "another"`}),
			"vouched": source(object{"verifyCommands": []any{object{"command": []string{"/bin/false"}, "user": "nobody"}}}),
			"listed":  source(object{"commands": []string{"true"}}),
			"one":     source(object{"maxSessions": 1}),
			"lost":    source(object{"exec": object{"user": "operator", "workDir": "/nonexistent/dir"}}),
			"menu":    source(object{"shell": "/usr/bin/less"}),
			"gone":    source(object{"shell": "/nonexistent/shell"}),
			"nobody":  as("$subject"),
			"locked":  as(lockedUser),
			"expired": as(expiredUser),
		}
	})
	a.attacker = newAttacker(t, h, "127.0.0.1")
	return a
}

// attack provokes one refusal and returns how the client was told.
type attack func(*victim) answer

// text sends the attack as written.
func text(format string, args ...any) attack {
	return func(a *victim) answer { return a.raw(fmt.Sprintf(format, args...)) }
}

// changed sends a good request of alice's for her sessions with one change.
func changed(change func(request) request) attack {
	return func(a *victim) answer { return a.raw(change(a.list(a.alice)).String()) }
}

// claimed sends alice's request with other claims.
func claimed(change func(claims) claims) attack {
	return func(a *victim) answer {
		r := request{method: "GET", target: "/v1/sessions"}
		return a.raw(signed(r, change(a.identity(r, newKey(a.t).PublicKey())), a.alice).String())
	}
}

// headed sends alice's request with another header.
func headed(head func(kid string) string) attack {
	return func(a *victim) answer {
		r := request{method: "GET", target: "/v1/sessions"}
		r.token = jws(head(a.alice.PublicKey().Thumbprint()), a.identity(r, newKey(a.t).PublicKey()).String(), a.alice)
		return a.raw(r.String())
	}
}

// opened opens a source.
func opened(source string, key func(*victim) *jwtauth.PrivateKey, body string) attack {
	return func(a *victim) answer {
		s, got := a.start(source, key(a), body)
		s.close()
		return got
	}
}

func alice(a *victim) *jwtauth.PrivateKey { return a.alice }

// within attacks from inside a live session of alice's.
func within(do func(a *victim, s *session) answer) attack {
	return func(a *victim) answer {
		s, got := a.start("debug", a.alice, `{"argv":["cat"]}`)
		defer s.close()
		if got.status != 200 {
			return answer{err: fmt.Errorf("no session to attack: %v", got)}
		}
		return do(a, s)
	}
}

const someSession = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// attacks has at least one for every row of the table of refusals.
var attacks = map[shell.Reason]map[string]attack{
	shell.ReasonMalformed: {
		"HTTP/1.0":        text("GET /v1/sessions HTTP/1.0\r\n\r\n"),
		"GET with a body": text("GET /v1/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nContent-Length: 1\r\n\r\nx"),
	},
	shell.ReasonOrigin: {
		"Origin":      changed(func(r request) request { r.headers = []string{"Origin: https://example.org"}; return r }),
		"Origin null": text("GET /healthz HTTP/1.1\r\nHost: a\r\nOrigin: null\r\n\r\n"),
	},
	shell.ReasonTransferEncoding: {
		"with Content-Length": text("POST /v1/shell/debug HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
		"alone":               text("POST /v1/shell/debug HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	},
	shell.ReasonAuthorization: {
		"two":   changed(func(r request) request { r.headers = []string{"Authorization: Bearer a"}; return r }),
		"Basic": text("GET /v1/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n\r\n"),
	},
	shell.ReasonNoToken: {
		"none": text("GET /v1/sessions HTTP/1.1\r\nHost: a\r\n\r\n"),
	},
	shell.ReasonTargetForm: {
		"//":            changed(func(r request) request { r.target = "//v1/sessions"; return r }),
		"escape":        changed(func(r request) request { r.target = "/v1/%73essions"; return r }),
		"escaped slash": changed(func(r request) request { r.target = "/v1/shell/..%2Fdebug"; return r }),
		"..":            changed(func(r request) request { r.target = "/v1/shell/../sessions"; return r }),
		"absolute form": changed(func(r request) request { r.target = "https://agent/v1/sessions"; return r }),
		"a space":       text("POST /v1/shell/my%%20source HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a query":       changed(func(r request) request { r.target = "/v1/sessions?all=1"; return r }),
		"the root":      changed(func(r request) request { r.target = "/"; return r }),
		"a rune":        changed(func(r request) request { r.target = "/v1/shell/dëbug"; return r }),
	},
	shell.ReasonNoLength: {
		"none": text("POST /v1/shell/debug HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\n\r\n"),
	},
	shell.ReasonBodyTooLarge: {
		"200 MB":          text("POST /v1/sessions/%s/stdin HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nContent-Length: 209715200\r\n\r\n", someSession),
		"a large control": within(func(a *victim, s *session) answer { return a.raw(s.control(strings.Repeat(" ", 5<<10)).String()) }),
	},
	shell.ReasonHeaderTooLarge: {
		"13 KiB": changed(func(r request) request { r.headers = []string{"X-Filler: " + strings.Repeat("x", 13<<10)}; return r }),
	},
	shell.ReasonTokenMalformed: {
		"two parts":   changed(func(r request) request { r.token = "a.b"; return r }),
		"not base64":  changed(func(r request) request { r.token = "a+/=." + r.token; return r }),
		"padded":      changed(func(r request) request { r.token += "="; return r }),
		"over 8 KiB":  changed(func(r request) request { r.token += strings.Repeat("A", 8<<10); return r }),
		"an encoding": changed(func(r request) request { r.token = lastBitSet(r.token); return r }),
	},
	shell.ReasonTokenHeader: {
		"jwk":           headed(func(kid string) string { return withMember(good(kid), `"jwk":{}`) }),
		"crit":          headed(func(kid string) string { return withMember(good(kid), `"crit":["exp"]`) }),
		"alg twice":     headed(func(kid string) string { return withMember(good(kid), `"alg":"none"`) }),
		"Alg too":       headed(func(kid string) string { return withMember(good(kid), `"Alg":"none"`) }),
		"no kid":        headed(func(string) string { return `{"alg":"EdDSA","typ":"shellagent-id+jwt"}` }),
		"kid is a path": headed(func(string) string { return header("EdDSA", jwtauth.TypeIdentity, "../../etc/passwd") }),
		"escaped":       headed(func(kid string) string { return strings.Replace(good(kid), "alg", `al\u0067`, 1) }),
	},
	shell.ReasonTokenType: {
		"JWT":          headed(func(kid string) string { return header("EdDSA", "JWT", kid) }),
		"at+jwt":       headed(func(kid string) string { return header("EdDSA", "at+jwt", kid) }),
		"host":         headed(func(kid string) string { return header("EdDSA", jwtauth.TypeHost, kid) }),
		"for stdin":    within(identityForStdin),
		"request list": within(requestForList),
	},
	shell.ReasonTokenAlgorithm: {
		"none":           headed(func(kid string) string { return header("none", jwtauth.TypeIdentity, kid) }),
		"HS256":          hmacWithPublicKey,
		"ES256":          headed(func(kid string) string { return header("ES256", jwtauth.TypeIdentity, kid) }),
		"eddsa in lower": headed(func(kid string) string { return header("eddsa", jwtauth.TypeIdentity, kid) }),
	},
	shell.ReasonUnknownKey: {
		"a stranger": func(a *victim) answer { return a.raw(a.list(newKey(a.t)).String()) },
	},
	shell.ReasonSignature: {
		"another key's": func(a *victim) answer {
			r := request{method: "GET", target: "/v1/sessions"}
			r.token = jws(good(a.alice.PublicKey().Thumbprint()), a.identity(r, newKey(a.t).PublicKey()).String(), newKey(a.t))
			return a.raw(r.String())
		},
		"zeros":  changed(func(r request) request { r.token = cutSignature(r.token) + encode(make([]byte, 64)); return r }),
		"a byte": changed(func(r request) request { r.token = cutSignature(r.token) + "AA"; return r }),
	},
	shell.ReasonClaims: {
		"no jti":        claimed(func(c claims) claims { return c.without("jti") }),
		"no aud":        claimed(func(c claims) claims { return c.without("aud") }),
		"no rh":         claimed(func(c claims) claims { return c.without("rh") }),
		"no cnf":        claimed(func(c claims) claims { return c.without("cnf") }),
		"no exp":        claimed(func(c claims) claims { return c.without("exp") }),
		"aud in a list": claimed(func(c claims) claims { return c.with("aud", `["`+someSession+`"]`) }),
		"iat in text":   claimed(func(c claims) claims { return c.with("iat", `"1"`) }),
		"iat in e":      claimed(func(c claims) claims { return c.with("iat", `1e9`) }),
		"jti short":     claimed(func(c claims) claims { return c.with("jti", `"1"`) }),
		"aud twice":     claimed(func(c claims) claims { return c.plus("aud", c[4].value) }),
		"AUD too":       claimed(func(c claims) claims { return c.plus("AUD", c[4].value) }),
		"Exp too":       claimed(func(c claims) claims { return c.plus("Exp", "99999999999") }),
		"K for k":       claimed(func(c claims) claims { return c.plus("a\u212a", "1").plus("ak", "2") }),
		"nbf":           claimed(func(c claims) claims { return c.plus("nbf", "1") }),
		"deep":          claimed(func(c claims) claims { return c.plus("x", strings.Repeat("[", 50)+strings.Repeat("]", 50)) }),
		"a list":        headlessClaims(`[]`),
		"two values":    headlessClaims(`{}{}`),
		"cnf is listed": func(a *victim) answer {
			s := a.openAs("debug", a.alice, a.bob, "{}")
			return a.raw(s.String())
		},
	},
	shell.ReasonLifetime: {
		"6 s":      claimed(func(c claims) claims { return c.with("exp", date(time.Now().Add(6*time.Second))) }),
		"5.001 s":  claimed(func(c claims) claims { return c.with("iat", "1700000000").with("exp", "1700000005.001") }),
		"backward": claimed(func(c claims) claims { return c.with("exp", c[0].value) }),
	},
	shell.ReasonAudience: {
		"another agent": claimed(func(c claims) claims { return c.with("aud", `"`+someSession+`"`) }),
	},
	shell.ReasonRequestHash: {
		"method": changed(func(r request) request { r.method = "DELETE"; r.target += "/" + someSession; return r }),
		"target": changed(func(r request) request { r.target += "/" + someSession; r.method = "DELETE"; return r }),
		"source": func(a *victim) answer {
			r := a.open("debug", a.alice, "{}")
			r.target = "/v1/shell/bobs"
			return a.raw(r.String())
		},
		"body": func(a *victim) answer {
			r := a.open("debug", a.alice, `{"argv":["true"]}`)
			r.body = []byte(`{"argv":["evil"]}`)
			return a.raw(r.String())
		},
		"stdin": within(func(a *victim, s *session) answer {
			r := s.stdin(0, "what was typed")
			copy(r.body[shell.StdinHeaderSize:], "what was not..")
			return a.raw(r.String())
		}),
	},
	shell.ReasonStale: {
		"6 s old": claimed(func(c claims) claims {
			return c.with("iat", date(time.Now().Add(-6*time.Second))).with("exp", date(time.Now().Add(-time.Second)))
		}),
		"of tomorrow": claimed(func(c claims) claims {
			return c.with("iat", date(time.Now().Add(24*time.Hour))).with("exp", date(time.Now().Add(24*time.Hour+time.Second)))
		}),
		"before the start": claimed(func(c claims) claims {
			return c.with("iat", date(time.Now().Add(-24*time.Hour))).with("exp", date(time.Now().Add(-24*time.Hour+5*time.Second)))
		}),
	},
	shell.ReasonNonce: {
		"made up":       claimed(func(c claims) claims { return c.plus("nonce", `"`+someSession+`"`) }),
		"another key's": nonceOfAnotherKey,
		"used":          nonceUsedTwice,
	},
	shell.ReasonReplay: {
		"identity": func(a *victim) answer {
			r := a.list(a.alice).String()
			if first := a.raw(r); first.status != 200 {
				return first
			}
			return a.raw(r)
		},
	},
	shell.ReasonReplayFull: {"257 in five seconds": fillReplays},
	shell.ReasonCounter: {
		"replayed keystroke": within(func(a *victim, s *session) answer {
			r := s.stdin(0, "x").String()
			if first := a.raw(r); first.status != 200 {
				return first
			}
			return a.raw(r)
		}),
		"out of the window": within(func(a *victim, s *session) answer {
			if first := a.raw(s.signedAs(s.stdin(0, "x"), 100).String()); first.status != 200 {
				return first
			}
			return a.raw(s.signedAs(s.stdin(1, "x"), 3).String())
		}),
	},

	shell.ReasonUnknownSource: {"nothere": opened("nothere", alice, "{}")},
	shell.ReasonSourceKey: {
		"bob's key": opened("debug", func(a *victim) *jwtauth.PrivateKey { return a.bob }, "{}"),
	},
	shell.ReasonKeyExpired: {"notAfter": opened("debug", func(a *victim) *jwtauth.PrivateKey { return a.expired }, "{}")},
	shell.ReasonKeyAddress: {
		"from": opened("debug", func(a *victim) *jwtauth.PrivateKey { return a.elsewhere }, "{}"),
		"X-Forwarded-For": func(a *victim) answer {
			r := a.open("debug", a.elsewhere, "{}")
			r.headers = append(r.headers, "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1")
			return a.raw(r.String())
		},
		"attach from elsewhere": comeBack("POST", "/attach"),
		"kill from elsewhere":   comeBack("DELETE", ""),
	},
	shell.ReasonKeyRevoked:    {"revoked": opened("debug", func(a *victim) *jwtauth.PrivateKey { return a.revoked }, "{}")},
	shell.ReasonRule:          {"jwtRule": opened("ruled", alice, "{}")},
	shell.ReasonVerifyCommand: {"it says no": opened("vouched", func(a *victim) *jwtauth.PrivateKey { return newKey(a.t) }, "{}")},
	shell.ReasonUser: {
		"does not exist": opened("nobody", alice, "{}"),
		"locked":         opened("locked", alice, "{}"),
		"expired":        opened("expired", alice, "{}"),
	},
	shell.ReasonShell: {
		"does not exist":           opened("gone", alice, "{}"),
		"is not for argv":          opened("menu", alice, `{"argv":["/bin/sh","-c","id"]}`),
		"does not exist, for argv": opened("gone", alice, `{"argv":["true"]}`),
	},
	shell.ReasonCommand: {
		"not listed":    opened("listed", alice, `{"argv":["id"]}`),
		"two in one":    opened("listed", alice, `{"command":"true; id"}`),
		"a shell":       opened("listed", alice, `{}`),
		"substitution":  opened("listed", alice, `{"command":"true $(id)"}`),
		"control chars": opened("listed", alice, `{"command":"`+strings.Repeat(`\u202e`, 300)+`"}`),
	},
	shell.ReasonOpenRequest: {
		"no JSON":       opened("debug", alice, `}`),
		"unknown":       opened("debug", alice, `{"user":"root"}`),
		"twice":         opened("debug", alice, `{"argv":["true"],"argv":["id"]}`),
		"in upper case": opened("debug", alice, `{"ARGV":["id"]}`),
		"both":          opened("debug", alice, `{"argv":["id"],"command":"id"}`),
		"a zero byte":   opened("debug", alice, `{"argv":["id\u0000"]}`),
		"TERM is a path": opened("debug", alice,
			`{"terminal":{"term":"../../etc/passwd","cols":80,"rows":24}}`),
	},
	shell.ReasonMaxSessions: {"the second of one": func(a *victim) answer {
		s, got := a.start("one", a.alice, `{"argv":["cat"]}`)
		defer s.close()
		if got.status != 200 {
			return got
		}
		return opened("one", alice, `{"argv":["cat"]}`)(a)
	}},
	shell.ReasonRateLimited: {"a dozen bad tokens": func(a *victim) answer {
		var last answer
		for range 12 {
			last = a.raw(a.list(newKey(a.t)).String())
		}
		return last
	}},
	shell.ReasonStart: {"no directory to start in": opened("lost", alice, `{"argv":["true"]}`)},

	shell.ReasonRoute: {
		"nothing there": listAt("GET", "/v1/nothing"),
		"a query": within(func(a *victim, s *session) answer {
			return a.raw(s.signed(request{method: "GET", target: s.target("stream")}).String())
		}),
		"upper case":      listAt("POST", "/v1/shell/Debug"),
		"a long name":     listAt("POST", "/v1/shell/"+strings.Repeat("a", 65)),
		"a short id":      listAt("DELETE", "/v1/sessions/abc"),
		"another version": listAt("GET", "/v2/sessions"),
	},
	shell.ReasonMethod: {
		"PUT":          changed(func(r request) request { r.method = "PUT"; return r }),
		"OPTIONS":      text("OPTIONS /v1/sessions HTTP/1.1\r\nHost: a\r\n\r\n"),
		"GET an open":  listAt("GET", "/v1/shell/debug"),
		"POST a list":  listAt("POST", "/v1/sessions"),
		"CONNECT":      text("CONNECT /v1/sessions HTTP/1.1\r\nHost: a\r\n\r\n"),
		"DELETE stdin": listAt("DELETE", "/v1/sessions/"+someSession+"/stdin"),
	},
	shell.ReasonSessionUnknown: {
		"stdin to none": func(a *victim) answer {
			s := &session{a: a.attacker, key: newKey(a.t), id: someSession}
			return a.raw(s.stdin(0, "id\n").String())
		},
		"kill of none": listAt("DELETE", "/v1/sessions/"+someSession),
	},
	shell.ReasonSessionEnded:    {"stdin after the end": stdinAfterTheEnd},
	shell.ReasonSessionConflict: {"the same key again": sameKeyAgain},
	shell.ReasonSessionOwner: {
		"a token for another session": within(func(a *victim, s *session) answer {
			other, got := a.start("debug", a.alice, `{"argv":["cat"]}`)
			defer other.close()
			if got.status != 200 {
				return got
			}
			r := s.stdin(0, "id\n")
			return a.raw(s.signed(request{method: "POST", target: other.target("stdin"), body: r.body}).String())
		}),
		"bob kills alice's":   within(bobs("DELETE", "")),
		"bob attaches to it":  within(bobs("POST", "/attach")),
		"bob reads it on his": within(bobReads),
	},
	shell.ReasonTakenOver: {"typing on": typingOnAfterTakeover},
	shell.ReasonOffset: {"a gap": within(func(a *victim, s *session) answer {
		return a.raw(s.stdin(7, "id\n").String())
	})},
	shell.ReasonOutput: {"the future": within(func(a *victim, s *session) answer {
		return a.raw(s.signed(request{method: "GET", target: s.target("stream?from=99")}).String())
	})},
	shell.ReasonBody: {
		"short": within(func(a *victim, s *session) answer {
			return a.raw(s.signed(request{method: "POST", target: s.target("stdin"), body: []byte("x")}).String())
		}),
		"no control": within(func(a *victim, s *session) answer { return a.raw(s.control(`{"seq":1,"root":true}`).String()) }),
		"a signal": within(func(a *victim, s *session) answer {
			return a.raw(s.control(`{"seq":1,"signal":{"name":"STOP"}}`).String())
		}),
	},
	// These need the agent in a state of its own: see TestEveryRefusal.
	shell.ReasonBodyTimeout: {"a body that stops": slowBody},
	shell.ReasonUnavailable: {"a broker that hangs": hangingBroker},
	shell.ReasonStopping:    {"an open while it stops": openWhileStopping},
}

// unprovoked are the rows that nobody can meet from outside.
var unprovoked = map[shell.Reason]string{
	shell.ReasonInternal: "it says that the agent has a bug, or the host no entropy or memory",
}

// provoked is an attack that was made, to be looked for in the log.
type provoked struct {
	name, from string
	reason     shell.Reason
}

// TestEveryRefusal provokes every row of the table, and looks at it from three
// sides: what the client is told, what the log says, and what is counted.
func TestEveryRefusal(t *testing.T) {
	a := newVictim(t)
	var last []shell.Refusal
	var all []provoked
	for _, row := range shell.Refusals() {
		switch _, excused := unprovoked[row.Reason]; {
		case excused != (len(attacks[row.Reason]) == 0):
			t.Errorf("%s: a row needs an attack, or a reason why there is none", row.Reason)
		case excused:
		case row.Reason == shell.ReasonStopping || row.Reason == shell.ReasonUnavailable:
			last = append(last, row) // the agent is not as before after these
		default:
			all = append(all, a.provoke(t, row, len(all))...)
		}
	}
	a.wantTold(t, all)
	for _, row := range last {
		done := a.provoke(t, row, len(all))
		all = append(all, done...)
		a.wantTold(t, done)
	}
}

// provoke makes the attacks of a row, each from an address of its own.
func (a *victim) provoke(t *testing.T, row shell.Refusal, before int) (all []provoked) {
	for name, do := range attacks[row.Reason] {
		place := before + len(all)
		at := *a
		at.attacker = a.at(fmt.Sprintf("127.0.%d.%d", 10+place/200, 1+place%200))
		name = string(row.Reason) + "/" + name
		t.Run(name, func(t *testing.T) {
			at.t = t
			at.want(row, do(&at))
		})
		all = append(all, provoked{name, at.from, row.Reason})
	}
	return all
}

// want looks at what the client was told.
func (a *victim) want(row shell.Refusal, got answer) {
	a.t.Helper()
	if got.err != nil || got.status != row.Status || got.code != row.Code {
		a.t.Errorf("the client was told %v, want %d %s", got, row.Status, row.Code)
	}
	if row.Status == 401 && !got.closed && got.body != nil {
		a.t.Errorf("%v left its connection open", got)
	}
	for _, c := range got.detail {
		if !unicode.IsPrint(c) {
			a.t.Errorf("the detail %q could move a cursor", got.detail)
		}
	}
}

// wantTold looks at the log and the metrics. The front reports what it refused
// once a second.
func (a *victim) wantTold(t *testing.T, all []provoked) {
	t.Helper()
	missing := func() string {
		log, metrics := a.h.log.String(), scrape(t, a.metrics)
		count := make(map[shell.Reason]int)
		for _, p := range all {
			count[p.reason]++
			if !logged(log, p) {
				return "line of " + p.name + " from " + p.from
			}
			if n := refusals(metrics, p.reason); n < count[p.reason] {
				return fmt.Sprintf("count of %s, which is %d", p.reason, n)
			}
		}
		return ""
	}
	var last string
	if !eventually(5*time.Second, func() bool { last = missing(); return last == "" }) {
		t.Errorf("there is no %s", last)
	}
}

func logged(log string, p provoked) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "msg=refused reason="+string(p.reason)+" ") && strings.Contains(line+" ", "remote="+p.from+":") ||
			strings.Contains(line, "msg=refused reason="+string(p.reason)+" remote="+p.from+" ") {
			return true
		}
	}
	return false
}

// refusals reads the metric of a reason.
func refusals(metrics string, reason shell.Reason) (n int) {
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, fmt.Sprintf("shellagent_refusals_total{reason=%q} ", reason)); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}

func good(kid string) string { return header("EdDSA", jwtauth.TypeIdentity, kid) }

func withMember(object, member string) string {
	return strings.TrimSuffix(object, "}") + "," + member + "}"
}

func cutSignature(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }

// lastBitSet encodes the same signature in another way, which a decoder that is
// not strict would take.
func lastBitSet(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}
