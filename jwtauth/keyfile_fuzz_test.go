package jwtauth

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// A private key that was read from a file has a public half that verifies what
// it signs; anything else is an error.
func FuzzPrivateKey(f *testing.F) {
	key, err := GeneratePrivateKey()
	if err != nil {
		f.Fatal(err)
	}
	plain, err := key.MarshalOpenSSH("comment", nil)
	if err != nil {
		f.Fatal(err)
	}
	locked, err := key.MarshalOpenSSH("comment", []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key.Crypto())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(locked)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
	f.Add([]byte(etchaPrivate + base64.StdEncoding.EncodeToString(der) + ":id"))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		signer, err := parsePrivateKey(data, nil)
		if err != nil {
			if signer != nil {
				t.Error("a refused file gives a key")
			}
			return
		}
		k, err := NewPrivateKey(signer)
		if err != nil {
			return
		}
		sig, err := k.Sign(t.Context(), []byte("text"))
		if err != nil || k.PublicKey().Verify([]byte("text"), sig) != nil {
			t.Errorf("its signature does not hold: %v", err)
		}
	})
}

// A JWK that is taken is written in its one canonical form, which reads the same.
func FuzzJWK(f *testing.F) {
	for _, jwk := range []string{
		`{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"x"}`,
		`{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		`{"e":"AQAB","kty":"RSA","n":"AQ"}`, `{"kty":"oct","k":"AA"}`, `{"d":"x","kty":"OKP"}`, `[]`,
	} {
		f.Add([]byte(jwk))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseJWK(data)
		if err != nil {
			if !k.IsZero() {
				t.Error("a refused JWK gives a key")
			}
			return
		}
		again, err := ParseJWK(k.JWK())
		if err != nil || !again.Equal(k) || !bytes.Equal(again.JWK(), k.JWK()) || len(k.Thumbprint()) != 43 {
			t.Errorf("%s became %s: %v", data, k.JWK(), err)
		}
	})
}

// Whatever is where the watermark should be: the guard starts and judges later
// than it, or says that it cannot.
func FuzzWatermark(f *testing.F) {
	for _, text := range []string{"1800000000000\n", "", "0", "-1\n", "9223372036854775807\n", "1e9", "x", "99999999999999999999"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "token-watermark"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := NewGuard(GuardConfig{StateDir: dir})
		if err != nil {
			return
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		again, err := NewGuard(GuardConfig{StateDir: dir})
		if err != nil {
			t.Fatalf("what the guard wrote after %q does not read: %v", text, err)
		}
		_ = again.Close()
	})
}
