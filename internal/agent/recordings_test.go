package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/record"
	"shellagent/seal"
	"shellagent/shell"
)

// A client chooses its session key, and with it the session's name: whoever uses
// one again is recorded again, and what is recorded is kept no longer than the rest.
func TestSessionKeyUsedAgainIsRecorded(t *testing.T) {
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.Load(t.TempDir(), host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r := newRecordings(t.TempDir(), key, slog.New(slog.DiscardHandler), func(shell.Event) {})
	grant := shell.Grant{Source: "ops", Record: &shell.Record{}}
	const times = 3
	for i := range times {
		b, err := r.begin("session", grant, shell.OpenRequest{}, netip.AddrPort{})
		if err != nil {
			t.Fatal(err)
		}
		if b.Tap() == nil {
			t.Fatalf("session %d is not recorded: %v", i+1, b.(*recording).failed)
		}
		b.(*recording).writer.Abandon()
	}
	n := 0
	k := record.Keeping{Dir: r.dir, Source: "ops", Age: time.Hour}
	_, err = k.Sweep(context.Background(), time.Now().Add(2*time.Hour), func(string) bool { return false }, func(f record.Stored, _ string) {
		if n++; f.Session != "session" {
			t.Errorf("%+v", f)
		}
	})
	if err != nil || n != times {
		t.Errorf("%d of %d went: %v", n, times, err)
	}
}
