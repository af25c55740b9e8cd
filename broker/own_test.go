package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"shellagent/account"
	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// vouchedSource is a source that no list opens: a command vouches for a key for
// as long as a file is there, and names the file's text as the subject.
func vouchedSource(t *testing.T, key *jwtauth.PrivateKey, more ...string) (c sources.Config, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "subject")
	if err := os.WriteFile(file, []byte("dora"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`s=$(cat %s) && echo '{"key":"%s","subject":"'"$s"'"}'`, file, key.PublicKey().AuthorizedKey(""))
	c = oneSource()
	c.Sources = map[string]sources.Source{
		"debug": {VerifyCommands: []sources.VerifyCommand{{Command: []string{"/bin/sh", "-c", script}, From: more}}},
		"other": {},
	}
	return c, file
}

// back is a call of a key that comes back to its sessions.
func (a *testAgent) back(method, target string, key *jwtauth.PrivateKey) *shell.Call {
	return a.sign(call(method, target, nil), nil, key, newTestKey(a.t).PublicKey())
}

// A key that no list has comes back to the sessions that a verify command let
// it open, and the command is asked again.
func TestVouchedKeyComesBack(t *testing.T) {
	dora, stranger := newTestKey(t), newTestKey(t)
	c, file := vouchedSource(t, dora)
	a := newTestAgent(t, c)
	a.wantCode("a list before there is a session", a.list(dora), "unauthorized")
	s, second := a.open("debug", dora), a.open("debug", dora)
	kill := "/v1/sessions/" + s.id
	r := a.wantCode("list", a.list(dora), "")
	if body := string(r.Body); !strings.Contains(body, s.id) || !strings.Contains(body, second.id) {
		t.Errorf("listed: %s", body)
	}
	for _, verb := range []string{"attach", "watch"} {
		if r := a.wantCode(verb, a.back("POST", s.target(verb), dora), ""); r.Stream != nil {
			r.Stream.Close()
		}
	}

	forged, other := a.list(dora), a.list(stranger)
	forged.Token = forged.Token[:strings.LastIndex(forged.Token, ".")] + other.Token[strings.LastIndex(other.Token, "."):]
	for what, c := range map[string]*shell.Call{
		"a stranger's list": a.list(stranger), "a stranger's kill": a.back("DELETE", kill, stranger), "a forged list": forged,
		"another source": a.openCall("other", dora, newTestKey(t)), "a confirmation": a.back("POST", "/v1/confirm/debug", dora),
	} {
		c.Remote = netip.AddrPortFrom(flooder, 1) // who is held back for it
		a.wantCode(what, c, "unauthorized")
	}

	if err := os.WriteFile(file, []byte("emil"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.wantCode("attach as somebody else", a.back("POST", s.target("attach"), dora), "unauthorized")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*shell.Call{
		"list": a.list(dora), "kill": a.back("DELETE", kill, dora),
		"attach": a.back("POST", s.target("attach"), dora), "watch": a.back("POST", s.target("watch"), dora),
	} {
		a.wantCode(what+" when the command says no", c, "unauthorized")
	}
	if log := a.log.String(); strings.Count(log, "reason=verify_command") < 5 {
		t.Errorf("the log does not say why:\n%s", log)
	}

	if err := os.WriteFile(file, []byte("dora"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.wantCode("kill", a.back("DELETE", kill, dora), "")
	a.wantCode("kill of the other", a.back("DELETE", "/v1/sessions/"+second.id, dora), "")
	<-s.program.ended
}

// What is revoked does not come back, nor what comes from elsewhere, and with
// its last session the key is as unknown as it was.
func TestVouchedKeyIsForgotten(t *testing.T) {
	dora := newTestKey(t)
	c, _ := vouchedSource(t, dora, operator.String())
	a := newTestAgent(t, c)
	s := a.open("debug", dora)
	elsewhere := a.list(dora)
	elsewhere.Remote = netip.AddrPortFrom(flooder, 1)
	a.wantCode("from elsewhere", elsewhere, "unauthorized")
	c.RevokedKeys = []string{dora.PublicKey().Thumbprint()}
	revoking := newTestPolicy(t, c)
	a.policy.Store(revoking) // before live sessions are asked about
	a.wantCode("revoked", a.list(dora), "unauthorized")
	if log := a.log.String(); !strings.Contains(log, "reason=key_revoked") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	a.SetPolicy(t.Context(), revoking)
	s.exit()
	a.forget(s.id)
	if _, known := a.identityKey(a.Policy(), dora.PublicKey().Thumbprint()); known {
		t.Error("the key is still known")
	}
}

// silentHost is a host whose user database may stop answering.
type silentHost struct {
	people
	silent atomic.Bool
}

func (h *silentHost) Lookup(ctx context.Context, name string) (*account.User, error) {
	if h.silent.Load() {
		return nil, errors.New("getent: no answer")
	}
	return h.people.Lookup(ctx, name)
}

// A host that does not answer keeps nobody from a session of theirs, and lets
// nobody in.
func TestHostThatDoesNotAnswer(t *testing.T) {
	alice := newTestKey(t)
	a := newTestAgent(t, oneSource(alice))
	host := &silentHost{}
	p, err := sources.New(sources.Config{
		VerifyKeys: oneSource(alice).VerifyKeys, Sources: map[string]sources.Source{"debug": {Exec: sources.Exec{User: "me"}}},
	}, sources.Options{Accounts: host})
	if err != nil {
		t.Fatal(err)
	}
	a.SetPolicy(t.Context(), p)
	s := a.open("debug", alice)
	host.silent.Store(true)
	if ended := a.SetPolicy(t.Context(), p); ended != 0 {
		t.Errorf("%d sessions ended", ended)
	}
	a.wantCode("typing", s.stdin(0, "x"), "")
	if reply := a.Handle(t.Context(), a.openCall("debug", alice, newTestKey(t))); reply.Stream != nil {
		t.Error("somebody got in")
	}
	host.silent.Store(false)
	a.open("debug", alice)
}
