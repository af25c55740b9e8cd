package jwtauth

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	// maxKeyFile bounds a private key file, in bytes.
	maxKeyFile = 64 << 10
	// passphraseTries is how often a person is asked, as ssh does.
	passphraseTries = 3
)

// ErrPassphrase says that a private key is encrypted and that the passphrase
// is missing or wrong.
var ErrPassphrase = errors.New("passphrase is missing or wrong")

// LoadPrivateKey reads a private key file: OpenSSH's own format, PEM with
// PKCS #8 (encrypted with PBES2 or not), PKCS #1 or SEC 1, or Etcha's
// "ed25519private:BASE64:id". An encrypted key is asked for with passphrase, up
// to three times; passphrase may be nil, and what it returns is overwritten. On
// Unix a file that others may read or write is refused, as ssh refuses it.
func LoadPrivateKey(path string, passphrase func(path string) ([]byte, error)) (*PrivateKey, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	defer clear(data)
	key, err := parsePrivateKey(data, nil)
	for range passphraseTries {
		if !errors.Is(err, ErrPassphrase) || passphrase == nil {
			break
		}
		var secret []byte
		if secret, err = passphrase(path); err != nil {
			break
		}
		key, err = parsePrivateKey(data, secret)
		clear(secret)
	}
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", path, err)
	}
	k, err := NewPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", path, err)
	}
	return k, nil
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory", path)
	}
	if err := checkKeyMode(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxKeyFile)
	}
	return data, nil
}

// parsePrivateKey reads a key in any of the forms. An encrypted one without
// the right passphrase gives ErrPassphrase.
func parsePrivateKey(data, passphrase []byte) (crypto.Signer, error) {
	text := strings.TrimSpace(string(data))
	if strings.HasPrefix(text, etchaPrivate) {
		return parseEtchaPrivate(text)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		if _, _, err := ParsePublicKey(text); err == nil {
			return nil, errors.New("this is a public key: give the private one, without .pub")
		}
		return nil, errors.New("no private key in it: expected PEM (OpenSSH, PKCS #8, PKCS #1, SEC 1) or an ed25519private:… line")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return parseEncryptedPKCS8(block.Bytes, passphrase)
	}
	return parsePEM(data, passphrase)
}

func parsePEM(data, passphrase []byte) (crypto.Signer, error) {
	key, err := ssh.ParseRawPrivateKey(data)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		if len(passphrase) == 0 {
			return nil, ErrPassphrase
		}
		key, err = ssh.ParseRawPrivateKeyWithPassphrase(data, passphrase)
	}
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, err
	}
	return asSigner(key)
}

func asSigner(key any) (crypto.Signer, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private keys of type %T are not supported: use Ed25519, ECDSA P-256 or RSA", key)
	}
	return signer, nil
}

func parseEtchaPrivate(text string) (crypto.Signer, error) {
	der, _, err := etchaFields(strings.TrimPrefix(text, etchaPrivate))
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("etcha key: %w", err)
	}
	signer, err := asSigner(key)
	if err != nil {
		return nil, err
	}
	public, err := publicOf(signer)
	if err != nil {
		return nil, err
	}
	if public.Alg() != AlgEdDSA {
		return nil, errors.New("etcha key says ed25519 and holds another kind")
	}
	return signer, nil
}
