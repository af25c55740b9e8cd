package jwtauth

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

// maxKeyLine bounds a line with a key, comment included.
const maxKeyLine = 8 << 10

// Etcha's forms: name, standard base64 of the DER (SubjectPublicKeyInfo or
// PKCS #8), and an optional id, joined by colons.
const (
	etchaPublic  = "ed25519public:"
	etchaPrivate = "ed25519private:"
)

// ParsePublicKey reads one key from one line: OpenSSH's ("ssh-ed25519 AAAA…
// comment") or Etcha's ("ed25519public:BASE64:id"). label is the comment or
// the id; it proves nothing. Options before an OpenSSH key are refused, since
// ignoring "from=" would let in more than was meant. So are certificates and
// security keys, which sign something other than the token.
func ParsePublicKey(line string) (k PublicKey, label string, err error) {
	line = strings.TrimSpace(line)
	switch {
	case len(line) > maxKeyLine:
		return PublicKey{}, "", fmt.Errorf("key line is longer than %d bytes", maxKeyLine)
	case !printable(line):
		return PublicKey{}, "", errors.New("key line has control characters, line breaks or invalid UTF-8: give one key a line")
	case strings.Contains(line, "PRIVATE KEY") || strings.HasPrefix(line, etchaPrivate):
		return PublicKey{}, "", errors.New("this is a private key: give the public one")
	case strings.HasPrefix(line, etchaPublic):
		return parseEtchaPublic(line)
	}
	return parseOpenSSH(line)
}

func parseOpenSSH(line string) (PublicKey, string, error) {
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return PublicKey{}, "", fmt.Errorf("not an OpenSSH public key: %w", err)
	case len(options) != 0 || len(rest) != 0:
		return PublicKey{}, "", fmt.Errorf("key options (%s) are not supported: say it in the key's entry instead", strings.Join(options, ","))
	}
	k, err := fromSSH(key)
	return k, comment, err
}

// fromSSH also serves the keys that ssh-agent offers.
func fromSSH(key ssh.PublicKey) (PublicKey, error) {
	switch t := key.Type(); t {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA:
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return PublicKey{}, fmt.Errorf("security keys (%s) sign a form of their own that a JWT cannot carry: use a plain key, or a signing command", t)
	default:
		if _, ok := key.(*ssh.Certificate); ok {
			return PublicKey{}, fmt.Errorf("certificates (%s) are not supported: use the plain key", t)
		}
		return PublicKey{}, fmt.Errorf("keys of type %s are not supported: use Ed25519, ECDSA P-256 or RSA", t)
	}
	public, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("keys of type %s are not supported: use Ed25519, ECDSA P-256 or RSA", key.Type())
	}
	return NewPublicKey(public.CryptoPublicKey())
}

func parseEtchaPublic(line string) (PublicKey, string, error) {
	der, id, err := etchaFields(strings.TrimPrefix(line, etchaPublic))
	if err != nil {
		return PublicKey{}, "", err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, "", fmt.Errorf("etcha key: %w", err)
	}
	k, err := NewPublicKey(key)
	if err == nil && k.Alg() != AlgEdDSA {
		err = errors.New("etcha key says ed25519 and holds another kind")
	}
	if err != nil {
		return PublicKey{}, "", err
	}
	return k, id, nil
}

func etchaFields(s string) (der []byte, id string, err error) {
	encoded, id, _ := strings.Cut(s, ":")
	if strings.ContainsAny(encoded, "\r\n") || strings.Contains(id, ":") {
		return nil, "", errors.New("etcha key is not NAME:BASE64:ID")
	}
	der, err = base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, "", errors.New("etcha key is not standard base64")
	}
	return der, id, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\t'
	})
}

func (k PublicKey) sshKey() ssh.PublicKey {
	if k.IsZero() {
		return nil
	}
	key, err := ssh.NewPublicKey(k.key)
	if err != nil {
		return nil
	}
	return key
}

// AuthorizedKey returns OpenSSH's line with label as the comment, without a
// line break; [ParsePublicKey] reads it. A label that would not come back as
// it is, for line breaks or spaces around it, is left out.
func (k PublicKey) AuthorizedKey(label string) string {
	key := k.sshKey()
	if key == nil {
		return ""
	}
	line := string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key)))
	if label == "" || !printable(label) || strings.TrimSpace(label) != label {
		return line
	}
	return line + " " + label
}

const opensshPrefix = "SHA256:"

// OpenSSHFingerprint returns "SHA256:" and 43 characters, as ssh-keygen -l
// prints it: a hash of OpenSSH's form, not the thumbprint.
func (k PublicKey) OpenSSHFingerprint() string {
	key := k.sshKey()
	if key == nil {
		return ""
	}
	sum := sha256.Sum256(key.Marshal())
	return opensshPrefix + base64.RawStdEncoding.EncodeToString(sum[:])
}

// MatchesFingerprint says that s is the key's thumbprint or its OpenSSH
// fingerprint. An empty string matches no key, and no string the zero value.
func (k PublicKey) MatchesFingerprint(s string) bool {
	if k.IsZero() || s == "" {
		return false
	}
	if strings.HasPrefix(s, opensshPrefix) {
		return strings.TrimRight(s, "=") == k.OpenSSHFingerprint()
	}
	return s == k.thumbprint
}
