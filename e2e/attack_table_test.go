package e2e

import (
	"strings"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

const someSession = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// attacks has at least one for every row of the table of refusals.
var attacks = map[shell.Reason]map[string]attack{
	shell.ReasonMalformed: {
		"HTTP/1.0":            text("GET /v1/sessions HTTP/1.0\r\n\r\n"),
		"healthz with a body": text("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx"),
		"agent with a body":   text("GET /v1/agent HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx"),
		"GET with a body":     text("GET /v1/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nContent-Length: 1\r\n\r\nx"),
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

	shell.ReasonKeyBusy: {"slow bodies": slowBodies},

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
	shell.ReasonLookup: {"getent fails": opened("away", alice, "{}")},
	shell.ReasonShell: {
		"does not exist":           opened("gone", alice, "{}"),
		"is not for argv":          opened("menu", alice, `{"argv":["/bin/sh","-c","id"]}`),
		"is not for files":         opened("menu", alice, `{"subsystem":"sftp"}`),
		"does not exist, for argv": opened("gone", alice, `{"argv":["true"]}`),
	},
	shell.ReasonAction: {
		"a shell of commands":    opened("listed", alice, `{}`),
		"no arguments":           opened("listed", alice, `{"argv":[],"command":""}`),
		"a terminal of commands": opened("execonly", alice, `{"terminal":{"term":"xterm","cols":80,"rows":24}}`),
		"a command of a shell":   opened("shellonly", alice, `{"argv":["true"]}`),
		"files of commands":      opened("execonly", alice, `{"subsystem":"sftp"}`),
		"files of a list":        opened("listed", alice, `{"subsystem":"sftp"}`),
		"a string of a shell":    opened("shellonly", alice, `{"command":" "}`),
	},
	shell.ReasonCommand: {
		"not listed":    opened("listed", alice, `{"argv":["id"]}`),
		"two in one":    opened("listed", alice, `{"command":"true; id"}`),
		"substitution":  opened("listed", alice, `{"command":"true $(id)"}`),
		"control chars": opened("listed", alice, `{"command":"`+strings.Repeat(`\u202e`, 300)+`"}`),
	},
	shell.ReasonOpenRequest: {
		"no JSON":       opened("debug", alice, `}`),
		"unknown":       opened("debug", alice, `{"user":"root"}`),
		"twice":         opened("debug", alice, `{"argv":["true"],"argv":["id"]}`),
		"in upper case": opened("debug", alice, `{"ARGV":["id"]}`),
		"both":          opened("debug", alice, `{"argv":["id"],"command":"id"}`),
		"no subsystem":  opened("debug", alice, `{"subsystem":"netconf"}`),
		"an action":     opened("debug", alice, `{"subsystem":"shell"}`),
		"files and all": opened("debug", alice, `{"subsystem":"sftp","argv":["id"]}`),
		"files, drawn":  opened("debug", alice, `{"subsystem":"sftp","terminal":{"term":"xterm","cols":80,"rows":24}}`),
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
	shell.ReasonRecording: {"a folder that is a file": opened("unrecorded", alice, `{"argv":["true"]}`)},
	shell.ReasonStart:     {"no directory to start in": opened("lost", alice, `{"argv":["true"]}`)},

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
	shell.ReasonNoTrial: {"confirming nothing": func(a *victim) answer {
		r := request{method: "POST", target: "/v1/confirm/debug"}
		return a.raw(signed(r, a.identity(r, newKey(a.t).PublicKey()), a.alice).String())
	}},
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
		"cover without a time":  oddCover(2, 0, 0, 2),
		"a time without cover":  oddCover(0, 0, 4, 2),
		"cover that comes once": oddCover(2, 0, 1001, 2),
		"cover of another kind": oddCover(6, 0, 4, 2),
		"cover with a tail":     oddCover(2, 1, 4, 2),
		"data beyond the body":  oddCover(2, 0, 4, 4000),
		"bulk under cover":      oddCover(2, 0, 4, 5000),
		"no control":            within(func(a *victim, s *session) answer { return a.raw(s.control(`{"seq":1,"root":true}`).String()) }),
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
