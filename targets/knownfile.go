package targets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shellagent/config"
)

// ReadKnownHosts reads a known_hosts file that only root and this user can
// have written. A missing file is an empty one. Errors name file and line.
func ReadKnownHosts(path string) (*KnownHosts, error) {
	content, err := config.ReadTrusted(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &KnownHosts{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	k, err := ParseKnownHosts(content)
	if err != nil {
		return nil, fmt.Errorf("%s:%w; correct or remove this line", path, err)
	}
	return k, nil
}

// UpdateKnownHosts changes a known_hosts file under a lock, so that two clients
// that meet new hosts at once both keep theirs. Readers see the old file or the
// new one, whole.
func UpdateKnownHosts(path string, change func(*KnownHosts) error) error {
	// A link stays one: what it points to is replaced.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	k, err := ReadKnownHosts(path)
	if err != nil {
		return err
	}
	if err := change(k); err != nil {
		return err
	}
	return replaceFile(path, k.Bytes())
}

// replaceFile writes a file that only this user can read, whole or not at all.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".known_hosts-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
