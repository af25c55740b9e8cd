package command

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"time"

	"shellagent/jwtauth"
)

const (
	// SignTimeout bounds one signature: a person may have to touch or type.
	SignTimeout = 60 * time.Second
	// maxSignature bounds a command's standard output: an RSA signature of
	// 8192 bits in base64, and white space.
	maxSignature = 4 << 10
	// waitDelay is how long after its end a command's children may hold its
	// output open.
	waitDelay = 2 * time.Second
)

// Signer signs with a program (signingCommands). The signing input is its
// standard input, a file at its start; the signature is its standard output: raw or in base64url
// (standard base64 passes, too), in the form of RFC 7518, or as ASN.1 for
// ECDSA, which is what openssl writes. What it printed is verified with Key
// before it is used. It keeps the environment and the terminal, so that it can
// ask for a PIN. It is safe for concurrent use.
type Signer struct {
	// Argv is the program, searched on PATH, and its arguments.
	Argv []string
	// Key is the public half of the key that the program signs with.
	Key jwtauth.PublicKey
	// Stderr, when not nil, gets the program's standard error as it comes
	// ("touch the token"). Otherwise its beginning goes into the error.
	Stderr io.Writer
}

var _ jwtauth.Signer = Signer{}

// PublicKey returns Key.
func (s Signer) PublicKey() jwtauth.PublicKey { return s.Key }

// Sign runs the program, for at most [SignTimeout].
func (s Signer) Sign(ctx context.Context, signingInput []byte) ([]byte, error) {
	if len(s.Argv) == 0 {
		return nil, errors.New("signing command is empty")
	}
	ctx, cancel := context.WithTimeout(ctx, SignTimeout)
	defer cancel()
	stdout := bounded{max: maxSignature, strict: true}
	stderr := bounded{max: maxMessage}
	cmd := exec.CommandContext(ctx, s.Argv[0], s.Argv[1:]...)
	stdin, err := spool(signingInput)
	if err != nil {
		return nil, fmt.Errorf("signing command: %w", err)
	}
	defer stdin.Close()
	cmd.Stdin = stdin.File
	cmd.Stdout = &stdout
	cmd.Stderr = &stderr
	if s.Stderr != nil {
		cmd.Stderr = s.Stderr
	}
	cmd.WaitDelay = waitDelay
	if err := cmd.Run(); err != nil {
		switch {
		case ctx.Err() != nil:
			err = ctx.Err()
		case stdout.over != nil: // and a broken pipe followed from it
			err = stdout.over
		}
		return nil, fmt.Errorf("signing command %w", failure(s.Argv, err, stderr.message()))
	}
	for _, sig := range signatureForms(s.Key.Alg(), stdout.buf.Bytes()) {
		if s.Key.Verify(signingInput, sig) == nil {
			return sig, nil
		}
	}
	return nil, fmt.Errorf("signing command %s: what it printed (%d bytes) is no %s signature by the key %s: check that the key is the command's",
		s.Argv[0], stdout.buf.Len(), s.Key.Alg(), s.Key.Thumbprint())
}

// spooled is a temporary file that is gone when it is closed.
type spooled struct{ *os.File }

func (s spooled) Close() error {
	return errors.Join(s.File.Close(), os.Remove(s.Name()))
}

// spool puts the signing input into a file: openssl 3.0 wants to know a size
// before it signs with Ed25519, so that "openssl pkeyutl -sign -rawin -inkey
// FILE -in /dev/stdin" fails on a pipe. Without its signature the input is no
// secret.
func spool(data []byte) (s spooled, err error) {
	f, err := os.CreateTemp("", "shellagent-sign-*")
	if err != nil {
		return spooled{}, err
	}
	s = spooled{f}
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return spooled{}, errors.Join(err, s.Close())
	}
	return s, nil
}

// signatureForms lists what the output may mean. Verifying picks the right
// one, so being generous here costs nothing.
func signatureForms(alg string, out []byte) [][]byte {
	forms := [][]byte{out}
	text := string(bytes.TrimRight(bytes.TrimSpace(out), "="))
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		if sig, err := enc.DecodeString(text); err == nil {
			forms = append(forms, sig)
		}
	}
	if alg == jwtauth.AlgES256 {
		for _, form := range forms {
			if sig, ok := fromASN1(form); ok {
				forms = append(forms, sig)
			}
		}
	}
	return forms
}

// fromASN1 turns Ecdsa-Sig-Value (RFC 3279 §2.2.3) into r and s.
func fromASN1(der []byte) ([]byte, bool) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &pair)
	if err != nil || len(rest) != 0 || pair.R.Sign() < 0 || pair.S.Sign() < 0 ||
		pair.R.BitLen() > 256 || pair.S.BitLen() > 256 {
		return nil, false
	}
	sig := make([]byte, 64)
	pair.R.FillBytes(sig[:32])
	pair.S.FillBytes(sig[32:])
	return sig, true
}
