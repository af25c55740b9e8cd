package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"shellagent/broker"
	"shellagent/jwtauth"
	"shellagent/metrics/scrape"
)

func TestDocument(t *testing.T) {
	var d document
	for object, ok := range map[string]bool{`{"version":1}`: true, "{}": true, " { } ": true, "": false, "[]": false, "{": false} {
		d.set([]byte(object))
		got := d.now()
		if (got != nil) != ok {
			t.Errorf("%q became %q", object, got)
		}
		if ok && !json.Valid(got) {
			t.Errorf("%q became %q, which is not JSON", object, got)
		}
	}
}

func TestMaxClients(t *testing.T) {
	for _, c := range []struct{ files, calls, want int }{
		{1024, 512, 224}, {20000, 512, maxClientsEver}, {1 << 40, 512, maxClientsEver}, {100, 512, 64},
	} {
		if with := maxClients(broker.Setup{NoFile: uint64(c.files), MaxCalls: c.calls, Metrics: true}); with > c.want || with < c.want-scrape.MaxConnections {
			t.Errorf("%d files, %d calls, and metrics: %d clients", c.files, c.calls, with)
		}
		if got := maxClients(broker.Setup{NoFile: uint64(c.files), MaxCalls: c.calls}); got != c.want {
			t.Errorf("%d files, %d calls: %d clients, want %d", c.files, c.calls, got, c.want)
		}
	}
}

// asked keeps the keys for which leaves were asked.
type asked struct{ keys []*ecdsa.PublicKey }

func (a *asked) RequestLeaf(k *ecdsa.PublicKey) error {
	a.keys = append(a.keys, k)
	return nil
}

func TestLeafForAnotherKeyIsNotShown(t *testing.T) {
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	var asks asked
	l := newLeaf(&asks, false, slog.New(slog.DiscardHandler))
	if _, err := l.config().GetCertificate(nil); err == nil {
		t.Error("there is a certificate before there is one")
	}
	if err := l.request(); err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*ecdsa.PublicKey{&other.PublicKey, asks.keys[0]} {
		chain, err := jwtauth.SignLeaf(host, key, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		l.signed(nil)
		l.signed([][]byte{[]byte("no certificate")})
		l.signed(chain)
		if shown := l.current.Load() != nil; shown != (key == asks.keys[0]) {
			t.Errorf("leaf is shown: %v", shown)
		}
	}
	if d := l.untilRenewal(); d < 39*time.Minute || d > 40*time.Minute {
		t.Errorf("renewal of an hour's leaf in %v", d)
	}
}
