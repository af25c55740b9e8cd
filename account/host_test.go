package account

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool runs one of shadow's programs, which lock the databases: another test
// may hold them.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil {
			return
		}
		if !strings.Contains(string(out), "lock") || time.Now().After(deadline) {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
	}
}

// newUser makes a user with a group of its own and one more group.
func newUser(t *testing.T) (user, extra string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a user on this host")
	}
	user = fmt.Sprintf("sa-acct-%d", os.Getpid())
	extra = user + "-g"
	tool(t, "groupadd", extra)
	t.Cleanup(func() { tool(t, "groupdel", extra) })
	tool(t, "useradd", "-M", "-U", "-G", extra, "-d", "/nonexistent", "-s", "/bin/sh", "-c", "Test", user)
	t.Cleanup(func() { tool(t, "userdel", user) })
	return user, extra
}

func TestARealUser(t *testing.T) {
	user, extra := newUser(t)
	d, ctx := NewDirectory(), t.Context()
	u, err := d.Lookup(ctx, user)
	if err != nil || u.Name != user || u.UID == 0 || u.Home != "/nonexistent" || u.Shell != "/bin/sh" || u.Gecos != "Test" {
		t.Fatalf("Lookup = %+v, %v", u, err)
	}
	g, err := d.LookupGroup(ctx, extra)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := d.Groups(ctx, user, u.GID)
	if err != nil || groups[0] != u.GID || !slices.Contains(groups, g.GID) || len(groups) != 2 {
		t.Errorf("Groups = %v, %v; want %d and %d", groups, err, u.GID, g.GID)
	}
	status := func(want State) {
		t.Helper()
		if s, err := d.Status(ctx, user); err != nil || s != want {
			t.Errorf("Status = %+v, %v; want %+v", s, err, want)
		}
	}
	status(State{}) // useradd's "!" is no lock
	tool(t, "usermod", "-p", "*", user)
	status(State{})
	tool(t, "usermod", "-e", "1", user)
	status(State{Expired: true})
	tool(t, "usermod", "-e", "", user)
	status(State{})
	tool(t, "usermod", "-L", user)
	status(State{Locked: true})
}

func TestAUserThatIsMadeOrRemovedIsSeenAtOnce(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a user on this host")
	}
	user := fmt.Sprintf("sa-seen-%d", os.Getpid())
	d, ctx := NewDirectory(), t.Context()
	if _, err := d.Lookup(ctx, user); !errors.Is(err, ErrUnknown) {
		t.Fatalf("before: %v", err)
	}
	tool(t, "useradd", "-M", user)
	_, err := d.Lookup(ctx, user)
	tool(t, "userdel", user)
	if err != nil {
		t.Errorf("made: %v", err)
	}
	if _, err := d.Lookup(ctx, user); !errors.Is(err, ErrUnknown) {
		t.Errorf("removed: %v", err)
	}
}

func TestSelf(t *testing.T) {
	u, err := Self(t.Context())
	if err != nil || int(u.UID) != os.Getuid() {
		t.Fatalf("Self = %+v, %v", u, err)
	}
	same, err := Lookup(t.Context(), u.Name)
	if err != nil || *same != *u {
		t.Errorf("Lookup(%q) = %+v, %v", u.Name, same, err)
	}
}

// TestRememberedAnswersAreFast pins what an open pays for policy.
func TestRememberedAnswersAreFast(t *testing.T) {
	u, err := Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	best := time.Hour
	for range 200 {
		began := time.Now()
		if _, err := Lookup(t.Context(), u.Name); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
	}
	if best > 50*time.Microsecond {
		t.Errorf("a remembered answer takes %v, want under 50µs", best)
	}
}

func BenchmarkLookup(b *testing.B) {
	u, err := Self(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Lookup(b.Context(), u.Name); err != nil {
			b.Fatal(err)
		}
	}
}
