package jwtauth_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shellagent/jwtauth"
)

const secret = "correct horse"

// passphrases answers one after the other and counts.
func passphrases(answers ...string) (func(string) ([]byte, error), *int) {
	asked := 0
	return func(string) ([]byte, error) {
		asked++
		return []byte(answers[min(asked, len(answers))-1]), nil
	}, &asked
}

// Key files as openssl and ssh-keygen write them.
func TestLoadPrivateKeyForms(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	openssl := func(name string, args ...string) {
		run(t, "openssl", append(args, "-out", file(name))...)
		if err := os.Chmod(file(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pass := []string{"-passout", "pass:" + secret}
	openssl("pkcs8-ed25519", "genpkey", "-algorithm", "ed25519")
	openssl("pkcs8-ec", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	openssl("pkcs8-rsa", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072")
	openssl("pkcs1-rsa", "rsa", "-traditional", "-in", file("pkcs8-rsa"))
	openssl("sec1-ec", "ec", "-in", file("pkcs8-ec"))
	openssl("encrypted-pkcs8-ed25519", append([]string{"pkey", "-in", file("pkcs8-ed25519"), "-aes-256-cbc"}, pass...)...)
	openssl("encrypted-pkcs8-128", append([]string{"pkcs8", "-topk8", "-in", file("pkcs8-ec"), "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"}, pass...)...)
	openssl("encrypted-pkcs8-192-sha1", append([]string{"pkcs8", "-topk8", "-in", file("pkcs8-ec"), "-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA1"}, pass...)...)
	openssl("encrypted-pkcs8-scrypt", append([]string{"pkcs8", "-topk8", "-in", file("pkcs8-ec"), "-scrypt"}, pass...)...)
	openssl("encrypted-pkcs1", append([]string{"rsa", "-traditional", "-in", file("pkcs8-rsa"), "-aes128"}, pass...)...)
	openssl("encrypted-sec1", append([]string{"ec", "-in", file("pkcs8-ec"), "-aes256"}, pass...)...)
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", secret, "-f", file("encrypted-openssh"))

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, ".pub") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			ask, asked := passphrases("wrong", secret)
			key, err := jwtauth.LoadPrivateKey(file(name), ask)
			if err != nil {
				t.Fatal(err)
			}
			encrypted := strings.HasPrefix(name, "encrypted")
			if encrypted != (*asked == 2) || !encrypted && *asked != 0 {
				t.Errorf("asked for a passphrase %d times", *asked)
			}
			mustVerify(t, key.PublicKey(), mustSign(t, key, jwtauth.TypeRequest, requestClaims(1)))
			if !encrypted {
				return
			}
			if _, err := jwtauth.LoadPrivateKey(file(name), nil); !errors.Is(err, jwtauth.ErrPassphrase) {
				t.Errorf("without a passphrase: %v", err)
			}
			if name == "encrypted-openssh" { // its key derivation is slow on purpose
				return
			}
			ask, asked = passphrases("wrong")
			if _, err := jwtauth.LoadPrivateKey(file(name), ask); !errors.Is(err, jwtauth.ErrPassphrase) || *asked != 3 {
				t.Errorf("asked %d times: %v", *asked, err)
			}
		})
	}
}

func TestLoadPrivateKeyRefuses(t *testing.T) {
	dir := t.TempDir()
	key := newKey(t)
	pem, err := key.MarshalOpenSSH("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	p384 := filepath.Join(dir, "p384")
	run(t, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", p384)
	p384pem, err := os.ReadFile(p384)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "no private key"},
		"public key":    {key.PublicKey().AuthorizedKey("x"), "public key"},
		"large file":    {strings.Repeat("x", 70<<10), "larger than"},
		"cut file":      {string(pem[:len(pem)/2]), "no private key"},
		"P-384":         {string(p384pem), "P-256"},
		"certificate":   {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "CERTIFICATE"},
		"PBES2 of junk": {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "key")
			writeFile(t, file, c.text)
			_, err := jwtauth.LoadPrivateKey(file, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want an error that names the file and %q", err, c.want)
			}
		})
	}
	if _, err := jwtauth.LoadPrivateKey(dir, nil); err == nil {
		t.Error("took a directory")
	}
	if _, err := jwtauth.LoadPrivateKey(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
	stop := errors.New("stop")
	locked, err := key.MarshalOpenSSH("x", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "locked")
	writeFile(t, file, string(locked))
	if _, err := jwtauth.LoadPrivateKey(file, func(string) ([]byte, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("an aborted prompt gives %v", err)
	}
}

func TestLoadPrivateKeyChecksTheMode(t *testing.T) {
	key := newKey(t)
	pem, err := key.MarshalOpenSSH("", nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	writeFile(t, file, string(pem))
	try := func(mode os.FileMode, uid int, want bool) {
		t.Helper()
		if err := os.Chown(file, uid, -1); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		_, err := jwtauth.LoadPrivateKey(file, nil)
		if (err == nil) != want {
			t.Errorf("mode %04o, owner %d: %v", mode, uid, err)
		}
		if !want && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("no remedy in %v", err)
		}
	}
	self := os.Geteuid()
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o644: false, 0o660: false, 0o602: false, 0o601: false} {
		try(mode, self, ok)
	}
	if self != 0 {
		return // only root may give files away
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o644: false, 0o620: false, 0o666: false} {
		try(mode, 12345, ok)
	}
}

func TestMarshalOpenSSHIsReadBySSHKeygen(t *testing.T) {
	dir := t.TempDir()
	for name, key := range keysOfEachKind(t) {
		for _, pass := range []string{"", secret} {
			pem, err := key.MarshalOpenSSH("alice@laptop", []byte(pass))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, name+pass)
			writeFile(t, file, string(pem))
			line := run(t, "ssh-keygen", "-y", "-P", pass, "-f", file)
			public, label, err := jwtauth.ParsePublicKey(line)
			if err != nil || !public.Equal(key.PublicKey()) || label != "alice@laptop" {
				t.Errorf("%s: ssh-keygen reads %q, %v", name, line, err)
			}
		}
	}
}
