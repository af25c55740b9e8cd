package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
)

func openKeys(t *testing.T, dir string) *hostKeys {
	t.Helper()
	k, _, err := openHostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// published is the key that people read out.
func published(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, hostKeyFile+publicSuffix))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := jwtauth.ParsePublicKey(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return key.Thumbprint()
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	k := openKeys(t, dir)
	first := k.current().PublicKey()
	for _, step := range []string{"finish", "abort"} {
		if err := k.step(step); !errors.Is(err, errNoNext) {
			t.Errorf("%s without a next key: %v", step, err)
		}
	}
	if err := k.step("begin"); err != nil {
		t.Fatal(err)
	}
	next := k.standing().Next.Thumbprint
	if err := k.step("begin"); err != nil || k.standing().Next.Thumbprint != next {
		t.Errorf("begun twice: %v", err)
	}
	if key, err := k.all().Announced.Verify(first, time.Now()); err != nil || key.Thumbprint() != next {
		t.Errorf("announced: %v", err)
	}

	// A restart goes on with it.
	k = openKeys(t, dir)
	if s := k.standing(); s.State != "announced" || s.Next.Thumbprint != next || s.Since.IsZero() || k.all().Announced == nil {
		t.Errorf("after a restart: %+v", s)
	}
	if err := k.step("finish"); err != nil {
		t.Fatal(err)
	}
	all := k.all()
	if all.Current.PublicKey().Thumbprint() != next || !all.Previous.PublicKey().Equal(first) || all.Next != nil || all.Announced != nil ||
		time.Until(all.Until) <= 0 || published(t, dir) != next {
		t.Errorf("finished: %+v", k.standing())
	}
	k = openKeys(t, dir)
	if s := k.standing(); s.HostKey.Thumbprint != next || s.State != "none" || s.Previous == nil || time.Until(k.all().Until) > 0 {
		t.Errorf("after another restart: %+v", s)
	}
	kept, err := jwtauth.LoadPrivateKey(filepath.Join(dir, previousKeyFile), nil)
	if err != nil || !kept.PublicKey().Equal(first) {
		t.Errorf("the key before: %v", err)
	}

	if err := errors.Join(k.step("begin"), k.step("abort")); err != nil {
		t.Fatal(err)
	}
	if s := k.standing(); s.State != "none" || k.all().Announced != nil {
		t.Errorf("aborted: %+v", s)
	}
	names, err := filepath.Glob(filepath.Join(dir, "host_key*"))
	if err != nil || len(names) != 4 {
		t.Errorf("left: %q", names)
	}
	// The second rotation replaces what is kept of the first.
	if err := errors.Join(k.step("begin"), k.step("finish")); err != nil {
		t.Fatal(err)
	}
}

// Whenever a crash comes, the next start has a host key, and its public half.
func TestRotationCutOff(t *testing.T) {
	dir := t.TempDir()
	k := openKeys(t, dir)
	if err := k.step("begin"); err != nil {
		t.Fatal(err)
	}
	next := k.standing().Next.Thumbprint
	if err := os.Link(filepath.Join(dir, hostKeyFile), filepath.Join(dir, previousKeyFile)); err != nil {
		t.Fatal(err)
	}
	if k = openKeys(t, dir); k.all().Previous != nil || k.standing().Next.Thumbprint != next {
		t.Errorf("cut off at first: %+v", k.standing())
	}
	if err := os.Rename(filepath.Join(dir, nextKeyFile), filepath.Join(dir, hostKeyFile)); err != nil {
		t.Fatal(err)
	}
	if published(t, dir) == next {
		t.Fatal("nothing to put right")
	}
	k = openKeys(t, dir)
	if k.current().PublicKey().Thumbprint() != next || k.all().Previous == nil || published(t, dir) != next || k.standing().Next != nil {
		t.Errorf("%+v", k.standing())
	}
	if err := k.step("begin"); err != nil || k.standing().Next.Thumbprint == next {
		t.Errorf("over what is left: %v", err)
	}
}

// A next key that is no host key stops the start.
func TestBrokenNextKey(t *testing.T) {
	dir := t.TempDir()
	openKeys(t, dir)
	if err := os.WriteFile(filepath.Join(dir, nextKeyFile), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openHostKeys(dir); err == nil || !strings.Contains(err.Error(), nextKeyFile) {
		t.Errorf("%v", err)
	}
}
