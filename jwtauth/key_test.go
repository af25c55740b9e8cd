package jwtauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"shellagent/jwtauth"
)

// RFC 8037 appendix A.3 and RFC 7638 §3.1 (whose RSA key is too short for us).
func TestThumbprintOfRFC8037(t *testing.T) {
	k, err := jwtauth.ParseJWK([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		t.Fatal(err)
	}
	if k.Thumbprint() != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("thumbprint is %s", k.Thumbprint())
	}
}

// ssh-keygen makes the keys, prints the fingerprints and reads ours back.
func TestKeysOfSSHKeygen(t *testing.T) {
	for name, args := range map[string][]string{
		"ed25519": {"-t", "ed25519"}, "ecdsa": {"-t", "ecdsa", "-b", "256"}, "rsa": {"-t", "rsa", "-b", "3072"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key")
			run(t, "ssh-keygen", append(args, "-q", "-N", "", "-C", "alice on laptop", "-f", file)...)
			line, err := os.ReadFile(file + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			public, label, err := jwtauth.ParsePublicKey(string(line))
			if err != nil || label != "alice on laptop" {
				t.Fatalf("label %q, %v", label, err)
			}
			if got := public.AuthorizedKey(label); got != strings.TrimSpace(string(line)) {
				t.Errorf("line comes back as %s", got)
			}
			printed := run(t, "ssh-keygen", "-l", "-f", file+".pub")
			if fp := public.OpenSSHFingerprint(); !strings.Contains(printed, " "+fp+" ") {
				t.Errorf("fingerprint is %s, ssh-keygen says %s", fp, printed)
			}
			private, err := jwtauth.LoadPrivateKey(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !private.PublicKey().Equal(public) {
				t.Error("the private key is another one")
			}
		})
	}
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestJWKRoundTrip(t *testing.T) {
	for name, key := range keysOfEachKind(t) {
		k := key.PublicKey()
		again, err := jwtauth.ParseJWK(k.JWK())
		if err != nil || !again.Equal(k) || string(again.JWK()) != string(k.JWK()) || again.Alg() != k.Alg() {
			t.Errorf("%s: %s comes back as %s, %v", name, k.JWK(), again.JWK(), err)
		}
	}
}

func TestParseJWKRefuses(t *testing.T) {
	keys := keysOfEachKind(t)
	ec := string(keys["ecdsa"].PublicKey().JWK())
	rs := string(keys["rsa"].PublicKey().JWK())
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b64n := base64.RawURLEncoding.EncodeToString
	for name, jwk := range map[string]string{
		"empty":             ``,
		"no kty":            `{"crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"symmetric":         `{"kty":"oct","k":"AAAA"}`,
		"private":           `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AAAA"}`,
		"X25519":            `{"crv":"X25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"short x":           `{"crv":"Ed25519","kty":"OKP","x":"AAAA"}`,
		"padded x":          `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="}`,
		"stray bits":        `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp"}`,
		"number":            `{"crv":"Ed25519","kty":"OKP","x":1}`,
		"doubled":           `{"crv":"Ed25519","kty":"OKP","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"off the curve":     strings.Replace(ec, `"x":"`, `"x":"A`, 1),
		"P-384":             strings.Replace(ec, "P-256", "P-384", 1),
		"ec without y":      ec[:strings.Index(ec, `,"y"`)] + "}",
		"rsa too small":     `{"e":"AQAB","kty":"RSA","n":"` + b64n(small.N.Bytes()) + `"}`,
		"rsa leading zero":  strings.Replace(rs, `"n":"`, `"n":"AAAA`, 1),
		"rsa even exponent": strings.Replace(rs, "AQAB", "AQAA", 1),
		"rsa exponent one":  strings.Replace(rs, "AQAB", "AQ", 1),
		"rsa huge exponent": strings.Replace(rs, "AQAB", "_____w", 1),
		"too large":         strings.Replace(rs, "AQAB", strings.Repeat("A", 3000), 1),
	} {
		if k, err := jwtauth.ParseJWK([]byte(jwk)); err == nil {
			t.Errorf("%s: read %s", name, k.JWK())
		}
	}
}

func TestNewPublicKeyRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Lsh(big.NewInt(1), 3071)
	for name, key := range map[string]any{
		"nil": nil, "bytes": []byte("secret"), "short ed25519": ed25519.PublicKey("x"), "P-384": &p384.PublicKey,
		"private": p384, "even modulus": &rsa.PublicKey{N: n, E: 65537},
		"too large": &rsa.PublicKey{N: n.SetBit(new(big.Int).Lsh(n, 6000), 0, 1), E: 65537},
		"empty rsa": &rsa.PublicKey{},
	} {
		if k, err := jwtauth.NewPublicKey(key); err == nil {
			t.Errorf("%s: took %s", name, k)
		}
	}
}

func TestZeroPublicKeyIsNoKey(t *testing.T) {
	var k jwtauth.PublicKey
	if !k.IsZero() || k.Equal(k) || k.Equal(jwtauth.PublicKey{}) || k.MatchesFingerprint("") || k.MatchesFingerprint("SHA256:") ||
		k.Thumbprint() != "" || k.AuthorizedKey("x") != "" || k.OpenSSHFingerprint() != "" || k.JWK() != nil {
		t.Error("the zero value passes for a key")
	}
	if err := k.Verify(nil, nil); err == nil {
		t.Error("the zero value verifies")
	}
}

func TestEtchaForms(t *testing.T) {
	// As Etcha's documentation prints it.
	line := "ed25519public:MCowBQYDK2VwAyEAJb9C2YlvNY2liircHRc4sresVmxCkPekzrHFTGQfHWg=:etcha_build_signingKey"
	k, label, err := jwtauth.ParsePublicKey(line)
	if err != nil || label != "etcha_build_signingKey" || k.Alg() != jwtauth.AlgEdDSA {
		t.Fatalf("%s, %q, %v", k, label, err)
	}
	key := newKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key.Crypto())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "etcha")
	text := "ed25519private:" + base64.StdEncoding.EncodeToString(der)
	for _, form := range []string{text, text + ":alice", text + ":alice\n"} {
		writeFile(t, file, form)
		loaded, err := jwtauth.LoadPrivateKey(file, nil)
		if err != nil || !loaded.PublicKey().Equal(key.PublicKey()) {
			t.Errorf("%v", err)
		}
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(keysOfEachKind(t)["ecdsa"].Crypto())
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, "ed25519private:"+base64.StdEncoding.EncodeToString(ecDER))
	if _, err := jwtauth.LoadPrivateKey(file, nil); err == nil {
		t.Error("took an ECDSA key as ed25519private")
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	key := newKey(t)
	line := key.PublicKey().AuthorizedKey("alice")
	body := strings.Fields(line)[1]
	for name, text := range map[string]string{
		"empty": "", "comment": "# " + line, "text": "hello", "no body": "ssh-ed25519", "two lines": line + "\n" + line,
		"options": `from="10.0.0.0/8" ` + line, "one option": "restrict " + line, "another type": "ssh-rsa " + body,
		"cut": "ssh-ed25519 " + body[:40], "trailing bytes": "ssh-ed25519 " + body + "AAAA", "escape sequence": line + "\x1b[2J",
		"carriage return": line + "\rx", "invalid UTF-8": line + "\xff", "too long": line + strings.Repeat("x", 9000),
		"private": "ed25519private:AAAA:x", "etcha of nothing": "ed25519public:", "etcha not base64": "ed25519public:****:x",
		"etcha more colons": "ed25519public:MCowBQYDK2VwAyEAJb9C2YlvNY2liircHRc4sresVmxCkPekzrHFTGQfHWg=:a:b",
		"etcha stray bits":  "ed25519public:MCowBQYDK2VwAyEAJb9C2YlvNY2liircHRc4sresVmxCkPekzrHFTGQfHWh=:a",
	} {
		if k, _, err := jwtauth.ParsePublicKey(text); err == nil {
			t.Errorf("%s: read %s", name, k)
		}
	}
}

func TestParsePublicKeyNamesWeakAndForeignKinds(t *testing.T) {
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"2048 bits": {"-t", "rsa", "-b", "2048"}, "P-256": {"-t", "ecdsa", "-b", "384"},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", ""))
		run(t, "ssh-keygen", append(args, "-q", "-N", "", "-f", file)...)
		line, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := jwtauth.ParsePublicKey(string(line)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error for a weak or foreign key is %v, want it to name %s", err, name)
		}
	}
	sk := bytes.Join([][]byte{
		sshString([]byte("sk-ssh-ed25519@openssh.com")), sshString(make([]byte, 32)), sshString([]byte("ssh:")),
	}, nil)
	line := "sk-ssh-ed25519@openssh.com " + base64.StdEncoding.EncodeToString(sk)
	if _, _, err := jwtauth.ParsePublicKey(line); err == nil || !strings.Contains(err.Error(), "security keys") {
		t.Errorf("the error for a security key is %v", err)
	}
	ca, user := filepath.Join(dir, "ca"), filepath.Join(dir, "user")
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ca)
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", user)
	run(t, "ssh-keygen", "-q", "-s", ca, "-I", "id", user+".pub")
	cert, err := os.ReadFile(user + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := jwtauth.ParsePublicKey(string(cert)); err == nil || !strings.Contains(err.Error(), "certificates") {
		t.Errorf("the error for a certificate is %v", err)
	}
}

func TestMatchesFingerprint(t *testing.T) {
	k, other := newKey(t).PublicKey(), newKey(t).PublicKey()
	for _, s := range []string{k.Thumbprint(), k.OpenSSHFingerprint(), k.OpenSSHFingerprint() + "="} {
		if !k.MatchesFingerprint(s) || other.MatchesFingerprint(s) {
			t.Errorf("%s is not told apart", s)
		}
	}
	for _, s := range []string{"", "SHA256:", "x", k.Thumbprint()[:42], strings.ToLower(k.OpenSSHFingerprint()), "SHA256:" + k.Thumbprint()} {
		if k.MatchesFingerprint(s) {
			t.Errorf("%q matches", s)
		}
	}
}

func TestPrivateKeyPrintsNoSecret(t *testing.T) {
	key := newKey(t)
	for _, format := range []string{"%v", "%+v", "%s"} {
		if got := fmt.Sprintf(format, key); got != "private key "+key.PublicKey().Thumbprint() {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

func TestNewPrivateKeyRefusesAForeignPublicHalf(t *testing.T) {
	_, a, _ := ed25519.GenerateKey(rand.Reader)
	_, b, _ := ed25519.GenerateKey(rand.Reader)
	mixed := append(append(ed25519.PrivateKey{}, a[:32]...), b[32:]...)
	if _, err := jwtauth.NewPrivateKey(mixed); err == nil {
		t.Error("took a key that would give its seed away")
	}
}
