package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"shellagent/jwtauth"
)

// SignatureSize is the size of a link's signature in bytes.
const SignatureSize = ed25519.SignatureSize

const (
	keyFile         = "seal.key"
	certificateFile = "seal.cert"

	// A certificate is made anew while it is still good for years.
	renewBefore = 365 * 24 * time.Hour
)

// Key seals links. It is safe for concurrent use.
type Key struct {
	private ed25519.PrivateKey
	public  jwtauth.PublicKey
	dir     string

	mu          sync.Mutex
	certificate string
	host        jwtauth.PublicKey
}

// Load returns the seal key of a state directory, made at its first use, with a
// certificate of host. Its files are the agent's own, mode 0600.
func Load(dir string, host *jwtauth.PrivateKey, now time.Time) (*Key, error) {
	private, err := loadPrivate(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	k := &Key{private: private, dir: dir}
	if k.public, err = jwtauth.NewPublicKey(private.Public()); err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	kept, err := os.ReadFile(k.certificatePath())
	if err == nil && k.certifies(string(kept), host.PublicKey(), now) {
		k.certificate, k.host = string(kept), host.PublicKey()
		return k, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("seal certificate: %w", err)
	}
	return k, k.Certify(host, now)
}

// Certify has the seal key certified by another host key: from a rotation on,
// new records name the new one.
func (k *Key) Certify(host *jwtauth.PrivateKey, now time.Time) error {
	certificate, err := jwtauth.CertifySeal(host, k.public, now)
	if err != nil {
		return err
	}
	if err := writeFile(k.certificatePath(), []byte(certificate)); err != nil {
		return fmt.Errorf("seal certificate: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.certificate, k.host = certificate, host.PublicKey()
	return nil
}

// Certificate is the host key's word about this key (see [NewVerifier]), and the
// host key whose word it is.
func (k *Key) Certificate() (certificate string, host jwtauth.PublicKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.certificate, k.host
}

// Sign seals a link.
func (k *Key) Sign(p Purpose, l Link) []byte { return ed25519.Sign(k.private, l.signed(p)) }

func (k *Key) certificatePath() string { return filepath.Join(k.dir, certificateFile) }

// certifies says whether a certificate that was kept is this key's, by host,
// and good for long enough.
func (k *Key) certifies(certificate string, host jwtauth.PublicKey, now time.Time) bool {
	c, err := jwtauth.VerifySeal(certificate, host)
	return err == nil && c.Key.Equal(k.public) && now.Add(renewBefore).Before(c.Until)
}

// loadPrivate reads the key, or makes it.
func loadPrivate(path string) (ed25519.PrivateKey, error) {
	switch key, err := jwtauth.LoadPrivateKey(path, nil); {
	case err == nil:
		private, ok := key.Crypto().(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("seal key %s: it is for %s instead of %s", path, key.PublicKey().Alg(), jwtauth.AlgEdDSA)
		}
		return private, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("seal key: %w", err)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	key, err := jwtauth.NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	text, err := key.MarshalOpenSSH("shellagent seal key", nil)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	if err := writeFile(path, text); err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	return private, nil
}

// writeFile replaces a file as a whole, so that a crash leaves the old or the
// new one.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
