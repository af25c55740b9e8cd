package targets

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/jwtauth"
)

// rotating is an agent whose certificate can be exchanged.
type rotating struct {
	Target
	shown atomic.Pointer[tls.Certificate]
}

func rotatingAgent(t *testing.T, cert tls.Certificate) *rotating {
	t.Helper()
	r := &rotating{}
	r.shown.Store(&cert)
	r.Target = serveWith(t, &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.shown.Load(), nil },
	})
	return r
}

func (r *rotating) show(cert tls.Certificate) { r.shown.Store(&cert) }

func succession(t *testing.T, current, next *jwtauth.PrivateKey) *jwtauth.Succession {
	t.Helper()
	s, err := jwtauth.SignSuccession(current, next, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func changes(l Lesson) bool { return l.Recorded || l.Withdrawn || !l.Next.IsZero() }

func lines(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The whole dance, for a client that hears of it and for one that does not.
func TestSuccession(t *testing.T) {
	before, after := hostKey(t), hostKey(t)
	oldCert, newCert := hostSigned(t, before), hostSigned(t, after)
	agent := rotatingAgent(t, oldCert)
	dir := t.TempDir()
	hears := &Trust{File: filepath.Join(dir, "hears"), AcceptNew: true}
	misses := &Trust{File: filepath.Join(dir, "misses"), AcceptNew: true}
	establish := func(trust *Trust) *Peer {
		t.Helper()
		peer, err := trust.Establish(t.Context(), agent.Target)
		if err != nil {
			t.Fatal(err)
		}
		return peer
	}
	peer, missing := establish(hears), establish(misses)
	for i, recorded := range []bool{true, false} {
		lesson, err := peer.Learn(succession(t, before, after))
		if err != nil || lesson.Recorded != recorded || !lesson.Next.Equal(after.PublicKey()) {
			t.Errorf("announcement %d: %+v, %v", i, lesson, err)
		}
	}
	if lesson, err := establish(hears).Learn(succession(t, before, after)); err != nil || lesson.Recorded {
		t.Errorf("the next connection: %+v, %v", lesson, err)
	}
	if again := establish(hears); !again.HostKey.Equal(before.PublicKey()) || again.Succeeded {
		t.Errorf("before the switch: %+v", again)
	}

	agent.show(newCert)
	if err := connect(t, peer); err != nil {
		t.Errorf("a session that goes on over the switch: %v", err)
	}
	var changed *ChangedHostKeyError
	if err := connect(t, missing); !errors.As(err, &changed) {
		t.Errorf("a session that did not hear: %v", err)
	}
	if err := connect(t, establish(misses)); !errors.As(err, &changed) {
		t.Errorf("a client that did not hear: %v", err)
	}
	if now := establish(hears); !now.HostKey.Equal(after.PublicKey()) || !now.Succeeded || connect(t, now) != nil {
		t.Errorf("after the switch: %+v", now)
	}
	if got, want := lines(t, hears.File), agent.BaseURL.String()+" "+after.PublicKey().AuthorizedKey("")+"\n"; got != want {
		t.Errorf("known: %q, want %q", got, want)
	}
	if once := establish(hears); once.Succeeded || !once.HostKey.Equal(after.PublicKey()) {
		t.Errorf("and then: %+v", once)
	}

	// The key before is nobody's any more.
	agent.show(oldCert)
	if err := connect(t, establish(hears)); !errors.As(err, &changed) {
		t.Errorf("the key before: %v", err)
	}
}

// Behind a certificate authority the announced key is met in the agent's answer.
func TestSuccessionByAuthority(t *testing.T) {
	before, after := hostKey(t), hostKey(t)
	cert, ca := authoritySigned(t)
	agent := rotatingAgent(t, cert)
	agent.CAPath = ca
	says := before.PublicKey()
	trust := &Trust{File: filepath.Join(t.TempDir(), "known_hosts"), Announced: func(context.Context, *url.URL, *tls.Config) (jwtauth.PublicKey, error) {
		return says, nil
	}}
	peer, err := trust.Establish(t.Context(), agent.Target)
	if err != nil {
		t.Fatal(err)
	}
	if lesson, err := peer.Learn(succession(t, before, after)); err != nil || !lesson.Recorded {
		t.Fatalf("%+v, %v", lesson, err)
	}
	says = after.PublicKey()
	if peer, err = trust.Establish(t.Context(), agent.Target); err != nil || !peer.Succeeded || !peer.HostKey.Equal(after.PublicKey()) {
		t.Errorf("%+v, %v", peer, err)
	}
}

func TestSuccessionForged(t *testing.T) {
	host, next, imposter := hostKey(t), hostKey(t), hostKey(t)
	agent := rotatingAgent(t, hostSigned(t, host))
	trust := &Trust{File: filepath.Join(t.TempDir(), "known_hosts"), AcceptNew: true}
	peer, err := trust.Establish(t.Context(), agent.Target)
	if err != nil {
		t.Fatal(err)
	}
	known := lines(t, trust.File)
	taken := succession(t, host, next)
	taken.Consent = taken.Promise
	for name, s := range map[string]*jwtauth.Succession{
		"by another key": succession(t, imposter, next), "by the next key": succession(t, next, imposter), "without consent": taken,
	} {
		if lesson, err := peer.Learn(s); err == nil || changes(lesson) || !strings.Contains(err.Error(), "not believed") {
			t.Errorf("%s: %+v, %v", name, lesson, err)
		}
	}
	if got := lines(t, trust.File); got != known {
		t.Errorf("known: %q, was %q", got, known)
	}
	for _, key := range []*jwtauth.PrivateKey{next, imposter} {
		agent.show(hostSigned(t, key))
		if connect(t, peer) == nil {
			t.Error("a key that nobody may announce is accepted")
		}
	}
}

func TestSuccessionWithdrawn(t *testing.T) {
	host, next := hostKey(t), hostKey(t)
	agent := rotatingAgent(t, hostSigned(t, host))
	trust := &Trust{File: filepath.Join(t.TempDir(), "known_hosts"), AcceptNew: true}
	peer, err := trust.Establish(t.Context(), agent.Target)
	if err != nil {
		t.Fatal(err)
	}
	known := lines(t, trust.File)
	if _, err := peer.Learn(succession(t, host, next)); err != nil {
		t.Fatal(err)
	}
	// The next connection hears nothing of it any more.
	later, err := trust.Establish(t.Context(), agent.Target)
	if err != nil {
		t.Fatal(err)
	}
	if lesson, err := later.Learn(nil); err != nil || !lesson.Withdrawn {
		t.Errorf("%+v, %v", lesson, err)
	}
	if got := lines(t, trust.File); got != known {
		t.Errorf("known: %q, was %q", got, known)
	}
	if lesson, err := later.Learn(nil); err != nil || changes(lesson) {
		t.Errorf("again: %+v, %v", lesson, err)
	}
	agent.show(hostSigned(t, next))
	if connect(t, later) == nil {
		t.Error("a key that was withdrawn is accepted")
	}
}

// What a person wrote stays, and two agents at one address keep both keys.
func TestAnnounceKeepsOtherLines(t *testing.T) {
	a, b := testKey(t, 0), testKey(t, 1)
	const at = "https://a:4000"
	content := "# mine\n" + at + " " + testKeys[0] + " note\nhttps://b:4000 " + testKeys[1] + "\n"
	k, err := ParseKnownHosts([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if k.Announce("https://c:4000", a, b) || k.Announce(at, b, a) || k.Withdraw(at, a) || k.Succeed(at, a) || string(k.Bytes()) != content {
		t.Errorf("changed for nothing: %q", k.Bytes())
	}
	if !k.Announce(at, a, b) || k.Announce(at, a, b) {
		t.Error("announced once")
	}
	want := content + at + " " + testKeys[1] + " next-of:" + a.Thumbprint() + "\n"
	if got := string(k.Bytes()); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	again, err := ParseKnownHosts(k.Bytes())
	if err != nil || again.At(at)[1].NextOf != a.Thumbprint() || again.At(at)[0].NextOf != "" {
		t.Errorf("read back: %+v, %v", again.At(at), err)
	}
	if !again.Succeed(at, b) || string(again.Bytes()) != "# mine\nhttps://b:4000 "+testKeys[1]+"\n"+at+" "+testKeys[1]+"\n" {
		t.Errorf("after the switch: %q", again.Bytes())
	}

	two := at + " " + testKeys[0] + "\n" + at + " " + testKeys[1] + "\n"
	if k, err = ParseKnownHosts([]byte(two)); err != nil || k.Announce(at, a, b) || k.Succeed(at, b) || string(k.Bytes()) != two {
		t.Errorf("two agents: %q, %v", k.Bytes(), err)
	}
}
