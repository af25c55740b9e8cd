package targets

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"shellagent/jwtauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFirstContactAsks(t *testing.T) {
	host := hostKey(t)
	target := serve(t, hostSigned(t, host))
	file := filepath.Join(t.TempDir(), "known_hosts")
	var asked []FirstContact
	answer := false
	trust := &Trust{File: file, Ask: func(_ context.Context, f FirstContact) (bool, error) {
		asked = append(asked, f)
		return answer, nil
	}}
	var unknown *UnknownHostError
	if _, err := trust.Establish(t.Context(), target); !errors.As(err, &unknown) || !unknown.Declined {
		t.Fatalf("after no: %v", err)
	}
	answer = true
	peer, err := trust.Establish(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if !peer.Added || !peer.HostKey.Equal(host.PublicKey()) || len(asked) != 2 || !asked[1].Key.Equal(host.PublicKey()) {
		t.Errorf("peer %+v, asked %d times", peer, len(asked))
	}
	if err := connect(t, peer); err != nil {
		t.Errorf("connect: %v", err)
	}
	// From now on nobody is asked, and nobody is looked at.
	trust.Ask, trust.Dial = nil, func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled") }
	if peer, err = trust.Establish(t.Context(), target); err != nil || peer.Added {
		t.Errorf("the second time: %+v, %v", peer, err)
	}
}

// A first look whose connection breaks, before or within the handshake, is taken again.
func TestFirstContactThroughBrokenConnections(t *testing.T) {
	host := hostKey(t)
	target := serve(t, hostSigned(t, host))
	dials := 0
	trust := &Trust{AcceptNew: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if dials++; err != nil || dials > 3 {
			return conn, err
		}
		return &breaking{Conn: conn, left: []int{200, 0, 3}[max(dials, 0)%3]}, nil
	}}
	peer, err := trust.Establish(t.Context(), target)
	if err != nil || !peer.HostKey.Equal(host.PublicKey()) || dials != 4 {
		t.Fatalf("after %d connections: %v", dials, err)
	}

	dials = -100
	if _, err := trust.Establish(t.Context(), target); err == nil || dials != -100+looks {
		t.Errorf("after %d connections that break: %v", dials+100, err)
	}
}

// breaking is a connection that ends after so many bytes from the peer.
type breaking struct {
	net.Conn
	left int
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func TestFirstContactWithNobodyThere(t *testing.T) {
	target := serve(t, hostSigned(t, hostKey(t)))
	file := filepath.Join(t.TempDir(), "known_hosts")
	var unknown *UnknownHostError
	if _, err := (&Trust{File: file}).Establish(t.Context(), target); !errors.As(err, &unknown) || unknown.Declined {
		t.Errorf("without a terminal: %v", err)
	}
	if peer, err := (&Trust{File: file, AcceptNew: true}).Establish(t.Context(), target); err != nil || !peer.Added {
		t.Errorf("--accept-new: %+v, %v", peer, err)
	}
}

func TestKnownKeyUnderANewNameIsShown(t *testing.T) {
	host := hostKey(t)
	target := serve(t, hostSigned(t, host))
	file := filepath.Join(t.TempDir(), "known_hosts")
	content := "# one\nhttps://other:4000 " + host.PublicKey().AuthorizedKey("") + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen FirstContact
	trust := &Trust{File: file, Ask: func(_ context.Context, f FirstContact) (bool, error) { seen = f; return true, nil }}
	if _, err := trust.Establish(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if len(seen.KnownAs) != 1 || seen.KnownAs[0].BaseURL != "https://other:4000" || seen.KnownAs[0].Line != 2 {
		t.Errorf("shown: %+v", seen.KnownAs)
	}
}

func TestChangedKeyIsRefused(t *testing.T) {
	first, second := hostKey(t), hostKey(t)
	target := serve(t, hostSigned(t, second))
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(target.BaseURL.String()+" "+first.PublicKey().AuthorizedKey("")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	yes := func(context.Context, FirstContact) (bool, error) { return true, nil }
	trust := &Trust{File: file, AcceptNew: true, Ask: yes}
	peer, err := trust.Establish(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	err = connect(t, peer)
	var changed *ChangedHostKeyError
	if !errors.As(err, &changed) {
		t.Fatalf("connect: %v, want *ChangedHostKeyError", err)
	}
	if !changed.Presented.Equal(second.PublicKey()) || len(changed.Known) != 1 || changed.Known[0].Line != 1 || changed.File != file {
		t.Errorf("%+v", changed)
	}
}

func TestSeveralKnownKeys(t *testing.T) {
	first, second := hostKey(t), hostKey(t)
	target := serve(t, hostSigned(t, second))
	file := filepath.Join(t.TempDir(), "known_hosts")
	base := target.BaseURL.String()
	content := base + " " + first.PublicKey().AuthorizedKey("") + "\n" + base + " " + second.PublicKey().AuthorizedKey("") + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	peer, err := (&Trust{File: file}).Establish(t.Context(), target)
	if err != nil || !peer.HostKey.Equal(second.PublicKey()) {
		t.Fatalf("%+v, %v", peer, err)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != content {
		t.Errorf("known_hosts was changed: %q %v", now, err)
	}
	third := serve(t, hostSigned(t, hostKey(t)))
	target.BaseURL = third.BaseURL
	content = strings.ReplaceAll(content, base, third.BaseURL.String())
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var changed *ChangedHostKeyError
	if _, err := (&Trust{File: file, AcceptNew: true}).Establish(t.Context(), target); !errors.As(err, &changed) || len(changed.Known) != 2 {
		t.Errorf("a third key: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	old, host := hostKey(t), hostKey(t)
	target := serve(t, hostSigned(t, host))
	for _, form := range []string{host.PublicKey().Thumbprint(), host.PublicKey().OpenSSHFingerprint()} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		// A fingerprint says more than what was known before.
		if err := os.WriteFile(file, []byte(target.BaseURL.String()+" "+old.PublicKey().AuthorizedKey("")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		target.Fingerprint = form
		peer, err := (&Trust{File: file}).Establish(t.Context(), target)
		if err != nil || !peer.Added {
			t.Fatalf("%s: %+v, %v", form, peer, err)
		}
		if err := connect(t, peer); err != nil {
			t.Errorf("%s: connect: %v", form, err)
		}
		k, err := ReadKnownHosts(file)
		if err != nil || len(k.With(old.PublicKey())) != 0 || len(k.With(host.PublicKey())) != 1 {
			t.Errorf("%s: known_hosts: %s %v", form, k.Bytes(), err)
		}
	}
	target.Fingerprint = old.PublicKey().Thumbprint()
	var mismatch *FingerprintError
	trust := &Trust{File: filepath.Join(t.TempDir(), "known_hosts"), AcceptNew: true}
	if _, err := trust.Establish(t.Context(), target); !errors.As(err, &mismatch) || !mismatch.Presented.Equal(host.PublicKey()) {
		t.Errorf("another fingerprint: %v", err)
	}
}

func TestAuthorityVouches(t *testing.T) {
	host, next := hostKey(t), hostKey(t)
	cert, ca := authoritySigned(t)
	target := serve(t, cert)
	target.CAPath = ca
	announced := host.PublicKey()
	trust := &Trust{
		File: filepath.Join(t.TempDir(), "known_hosts"),
		Announced: func(_ context.Context, base *url.URL, conf *tls.Config) (jwtauth.PublicKey, error) {
			conn, err := tls.Dial("tcp", base.Host, conf)
			if err != nil {
				return jwtauth.PublicKey{}, err
			}
			return announced, conn.Close()
		},
	}
	peer, err := trust.Establish(t.Context(), target)
	if err != nil || !peer.Added || !peer.HostKey.Equal(host.PublicKey()) {
		t.Fatalf("first contact: %+v, %v", peer, err)
	}
	if err := connect(t, peer); err != nil {
		t.Fatalf("connect: %v", err)
	}
	if err := peer.Recheck(t.Context()); err != nil {
		t.Errorf("recheck: %v", err)
	}
	announced = next.PublicKey()
	var changed *ChangedHostKeyError
	if err := peer.Recheck(t.Context()); !errors.As(err, &changed) {
		t.Errorf("recheck after a change: %v", err)
	}
	// Another name than the certificate's is not vouched for.
	target.CAPath = ""
	var certificate *CertificateError
	if _, err := (&Trust{AcceptNew: true}).Establish(t.Context(), target); !errors.As(err, &certificate) {
		t.Errorf("without the CA: %v, want *CertificateError", err)
	}
}

func TestUnsavedKeyIsNoFailure(t *testing.T) {
	target := serve(t, hostSigned(t, hostKey(t)))
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "state")
	if err := os.Symlink("/nonexistent/shellagent", link); err != nil {
		t.Fatal(err)
	}
	peer, err := (&Trust{File: filepath.Join(link, "known_hosts"), AcceptNew: true}).Establish(t.Context(), target)
	if err != nil || peer.Unsaved == nil || peer.Added {
		t.Errorf("%+v, %v", peer, err)
	}
}
