package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"shellagent/jwtauth"
)

// hostKeyFile is the host key's name in the state directory; its public half
// lies beside it as hostKeyFile.pub.
const (
	hostKeyFile  = "host_key"
	publicSuffix = ".pub"
)

// openState makes the state directory if need be, refuses one that others can
// read, and locks it: two agents on one state would accept each other's
// replayed tokens. The lock is held until the returned file is closed.
func openState(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("state directory %s is open to others (mode %04o): chmod 0700 %s", dir, info.Mode().Perm(), dir)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another agent runs with the state directory %s: stop it, or give this one its own stateDir", dir)
	}
	return lock, nil
}

// hostKey loads the host key, or makes it at the first start.
func hostKey(dir string) (key *jwtauth.PrivateKey, made bool, err error) {
	path := filepath.Join(dir, hostKeyFile)
	key, err = loadHostKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeHostKey(path)
		return key, true, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("host key: %w", err)
	}
	return key, false, publish(path, key)
}

func loadHostKey(path string) (*jwtauth.PrivateKey, error) {
	key, err := jwtauth.LoadPrivateKey(path, nil)
	if err != nil {
		return nil, err
	}
	if alg := key.PublicKey().Alg(); alg != jwtauth.AlgEdDSA {
		return nil, fmt.Errorf("%s is for %s: it must be an Ed25519 key", path, alg)
	}
	return key, nil
}

// publish writes the public half beside a host key, unless it is there: people
// read it out, so it must never be another key's.
func publish(path string, key *jwtauth.PrivateKey) error {
	if text, err := os.ReadFile(path + publicSuffix); err == nil {
		if there, _, err := jwtauth.ParsePublicKey(strings.TrimSpace(string(text))); err == nil && there.Equal(key.PublicKey()) {
			return nil
		}
	}
	line := key.PublicKey().AuthorizedKey("host key") + "\n"
	if err := writeNew(path+publicSuffix, []byte(line), 0o644); err != nil {
		return fmt.Errorf("host key: %w", err)
	}
	return nil
}

func makeHostKey(path string) (*jwtauth.PrivateKey, error) {
	key, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	data, err := key.MarshalOpenSSH("host key", nil)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	if err := writeNew(path, data, 0o600); err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	return key, publish(path, key)
}

// writeNew writes a file whole or not at all.
func writeNew(path string, data []byte, mode os.FileMode) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}
