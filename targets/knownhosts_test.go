package targets

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"shellagent/jwtauth"
)

// testKeys are public keys of no consequence.
var testKeys = []string{
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP/+/fz7+vn49/b19PPy8fDv7u3s6+rp6Ofm5eTj4uHg",
}

func testKey(t testing.TB, i int) jwtauth.PublicKey {
	t.Helper()
	key, _, err := jwtauth.ParsePublicKey(testKeys[i])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKnownHosts(t *testing.T) {
	content := "# mine\n\nhttps://a:4000 " + testKeys[0] + " note\n  https://b:4000/x " + testKeys[1] + "\r\nhttps://a:4000 " + testKeys[1]
	k, err := ParseKnownHosts([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(k.Bytes()); got != content {
		t.Errorf("Bytes: %q, want %q", got, content)
	}
	if at := k.At("https://a:4000"); len(at) != 2 || at[0].Line != 3 || at[1].Line != 5 {
		t.Errorf("At: %+v", at)
	}
	if with := k.With(testKey(t, 1)); len(with) != 2 || with[0].BaseURL != "https://b:4000/x" {
		t.Errorf("With: %+v", with)
	}

	k.Set("https://a:4000", testKey(t, 0))
	want := "# mine\n\n  https://b:4000/x " + testKeys[1] + "\r\nhttps://a:4000 " + testKeys[0] + "\n"
	if got := string(k.Bytes()); got != want {
		t.Errorf("after Set: %q, want %q", got, want)
	}
	if at := k.At("https://a:4000"); len(at) != 1 || at[0].Line != 4 {
		t.Errorf("At after Set: %+v", at)
	}
}

func TestKnownHostsRefuses(t *testing.T) {
	tests := []struct{ line, want string }{
		{"a:4000 " + testKeys[0], "starts with https://"},
		{"https://a:4000", "want a base URL and a key"},
		{"https://A:4000 " + testKeys[0], "write the base URL as https://a:4000"},
		{"https://a " + testKeys[0], "write the base URL as https://a:443"},
		{"https://a:4000/ " + testKeys[0], "write the base URL as https://a:4000"},
		{"https://a:4000 ssh-ed25519 AAAA", ""},
		{"https://a:4000 " + testKeys[0][:60], ""},
	}
	for _, tt := range tests {
		_, err := ParseKnownHosts([]byte("# first\n" + tt.line + "\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "2: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want 2: …%q", tt.line, err, tt.want)
		}
	}
}

func TestReadKnownHostsNamesFileAndLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte("\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadKnownHosts(path)
	if err == nil || !strings.HasPrefix(err.Error(), path+":2: ") {
		t.Errorf("error %v, want %s:2: …", err, path)
	}
}

func TestUpdateKnownHostsKeepsAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "known_hosts")
	key := testKey(t, 0)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = UpdateKnownHosts(path, func(k *KnownHosts) error {
				k.Set(fmt.Sprintf("https://h%d:4000", i), key)
				return nil
			})
		}()
	}
	wg.Wait()
	k, err := ReadKnownHosts(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(k.With(key)); n != len(errs) {
		t.Errorf("%d lines after %d updates: %v", n, len(errs), errs)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestUpdateKnownHostsKeepsALink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	err := UpdateKnownHosts(link, func(k *KnownHosts) error {
		k.Set("https://a:4000", testKey(t, 0))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(real)
	if err != nil || !bytes.HasPrefix(content, []byte("https://a:4000 ")) {
		t.Errorf("what the link points to: %q, %v", content, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
}

// FuzzKnownHosts checks that a parsed file prints as it was, byte for byte,
// and that a change touches only the lines of its host.
func FuzzKnownHosts(f *testing.F) {
	f.Add([]byte("# c\n\nhttps://a:4000 " + testKeys[0] + " x\n"))
	f.Add([]byte("https://a:4000/p " + testKeys[1] + "\r\n\t# c"))
	f.Add([]byte("https://[::1]:4000   " + testKeys[1]))
	f.Fuzz(func(t *testing.T, content []byte) {
		k, err := ParseKnownHosts(content)
		if err != nil {
			return
		}
		if !bytes.Equal(k.Bytes(), content) {
			t.Fatalf("%q became %q", content, k.Bytes())
		}
		k.Set("https://added:4000", testKey(t, 0))
		again, err := ParseKnownHosts(k.Bytes())
		if err != nil {
			t.Fatalf("after Set: %v", err)
		}
		if at := again.At("https://added:4000"); len(at) != 1 || !at[0].Key.Equal(testKey(t, 0)) {
			t.Fatalf("after Set: %+v", at)
		}
	})
}
