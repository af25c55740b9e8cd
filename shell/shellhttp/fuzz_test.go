package shellhttp

import (
	"bytes"
	"net/http"
	"net/netip"
	"testing"
	"unicode"

	"shellagent/jwtauth"
	"shellagent/shell"
)

func FuzzBinaryReader(f *testing.F) {
	f.Add(shell.AppendFrame(nil, shell.Frame{Type: shell.FrameStdout, End: 5, Data: []byte("hello")}))
	f.Add([]byte{2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var again []byte
		for r := newBinaryReader(bytes.NewReader(wire)); ; {
			frame, err := r.next()
			if err != nil {
				break
			}
			again = shell.AppendFrame(again, frame)
		}
		if !bytes.HasPrefix(wire, again) {
			t.Errorf("%q was read as %q", wire, again)
		}
	})
}

// Somebody who is not behind a trusted proxy cannot choose their address.
func FuzzForwardedFor(f *testing.F) {
	f.Add("192.0.2.1:5", "198.51.100.1, 10.0.0.1")
	f.Add("10.0.0.1:5", "[2001:db8::1%x]:7,")
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		got := clientAddr(&http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {forwarded}}}, trusted)
		direct := clientAddr(&http.Request{RemoteAddr: peer}, nil)
		if !contains(trusted, direct.Addr()) && got != direct {
			t.Errorf("%q made %s of %s", forwarded, got, direct)
		}
		if got.Addr().Zone() != "" || got.Addr().Is4In6() {
			t.Errorf("%s has more than one form", got)
		}
	})
}

func FuzzProblem(f *testing.F) {
	f.Add(401, typeProblem, `{"code":"stale","detail":"x\u001b[2J"}`)
	f.Add(401, typeProblem, "{\"Code\":\"\x8a\"}")
	f.Fuzz(func(t *testing.T, status int, mediaType, text string) {
		p := parseProblem(status, http.Header{"Content-Type": {mediaType}}, []byte(text))
		for _, r := range p.Error() {
			if !unicode.IsPrint(r) {
				t.Errorf("%q can move the terminal", p.Error())
			}
		}
		if p.Status != status || p.Code == "" {
			t.Errorf("%+v", p)
		}
	})
}

// Nobody but the host key's holder makes a session event that is believed.
func FuzzSessionEvent(f *testing.F) {
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		f.Fatal(err)
	}
	key, err := newSessionKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"sid":"x","token":"a.b.c","from":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := key.checkSession([]jwtauth.PublicKey{host.PublicKey()}, "token", shell.Frame{Type: shell.FrameSession, Data: data}); err == nil {
			t.Errorf("%q was believed", data)
		}
	})
}
