//go:build unix

package command_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/jwtauth/command"
)

func openssl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %q: %v\n%s", args, err, out)
	}
}

func publicOf(t *testing.T, file string) jwtauth.PublicKey {
	t.Helper()
	key, err := jwtauth.LoadPrivateKey(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey()
}

func claims(session jwtauth.PublicKey) jwtauth.Claims {
	return jwtauth.Claims{
		IssuedAt: jwtauth.NumericDateOf(time.Now()), ID: jwtauth.NewID(),
		RequestHash: jwtauth.RequestHash("POST", "/v1/shell/debug", nil),
		Audience:    session.Thumbprint(), Session: session,
	}
}

// openssl is the signer, with a key that this process never sees but to learn
// its public half.
func TestOpenSSLSigns(t *testing.T) {
	dir := t.TempDir()
	ed, ec, rs := filepath.Join(dir, "ed"), filepath.Join(dir, "ec"), filepath.Join(dir, "rs")
	openssl(t, "genpkey", "-algorithm", "ed25519", "-out", ed)
	openssl(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", ec)
	openssl(t, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-out", rs)
	for name, c := range map[string]struct {
		file string
		argv []string
	}{
		"ed25519":        {ed, []string{"openssl", "pkeyutl", "-sign", "-rawin", "-inkey", ed, "-in", "/dev/stdin"}},
		"ecdsa":          {ec, []string{"openssl", "dgst", "-sha256", "-sign", ec}},
		"rsa":            {rs, []string{"openssl", "dgst", "-sha256", "-sign", rs}},
		"rsa, base64":    {rs, []string{"sh", "-c", "openssl dgst -sha256 -sign " + rs + " | openssl base64 -A"}},
		"ecdsa, base64":  {ec, []string{"sh", "-c", "openssl dgst -sha256 -sign " + ec + " | openssl base64"}},
		"ed, base64url":  {ed, []string{"sh", "-c", "openssl pkeyutl -sign -rawin -inkey " + ed + " -in /dev/stdin | openssl base64 -A | tr +/ -_ | tr -d ="}},
		"ed, line break": {ed, []string{"sh", "-c", "openssl pkeyutl -sign -rawin -inkey " + ed + " -in /dev/stdin | openssl base64 -A; echo"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signer := command.Signer{Argv: c.argv, Key: publicOf(t, c.file)}
			for range 3 {
				token, err := jwtauth.Sign(context.Background(), signer, jwtauth.TypeIdentity, claims(publicOf(t, ed)))
				if err != nil {
					t.Fatal(err)
				}
				u, err := jwtauth.Parse(token)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := u.Verify(signer.Key); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestSignerRefuses(t *testing.T) {
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	openssl(t, "genpkey", "-algorithm", "ed25519", "-out", other)
	for name, c := range map[string]struct {
		argv []string
		want string
	}{
		"nothing":         {nil, "empty"},
		"unknown program": {[]string{"no-such-program"}, "no-such-program"},
		"another key":     {[]string{"openssl", "pkeyutl", "-sign", "-rawin", "-inkey", other, "-in", "/dev/stdin"}, "check that the key is the command's"},
		"silence":         {[]string{"true"}, "0 bytes"},
		"flood":           {[]string{"sh", "-c", "head -c 1000000 /dev/zero"}, "larger than"},
		"failure":         {[]string{"sh", "-c", "printf 'no \\033[31mtoken\\n' >&2; exit 3"}, "exit status 3: no [31mtoken"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := command.Signer{Argv: c.argv, Key: key.PublicKey()}.Sign(context.Background(), []byte("x"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_, err := command.Signer{Argv: []string{"sleep", "60"}, Key: key.PublicKey()}.Sign(ctx, []byte("x"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("standard error shown", func(t *testing.T) {
		var shown strings.Builder
		s := command.Signer{Argv: []string{"sh", "-c", "echo touch it >&2"}, Key: key.PublicKey(), Stderr: &shown}
		if _, err := s.Sign(context.Background(), []byte("x")); err == nil || shown.String() != "touch it\n" {
			t.Errorf("shown %q, %v", shown.String(), err)
		}
	})
}
