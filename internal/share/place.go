package share

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrUnsafe says that sockets cannot be where they would belong: somebody else
// could put theirs there.
var ErrUnsafe = errors.New("not a directory of this user alone")

// maxPath is the room for a path in a sockaddr_un with its zero byte (unix(7)),
// on the system where it is the smallest.
const maxPath = 104 - 1

// Place is where a holder is met.
type Place struct {
	// Socket is the path of the socket. Beside it, with ".lock" behind its name,
	// is what keeps two holders from starting at once.
	Socket string
}

func (p Place) lock() string { return strings.TrimSuffix(p.Socket, socketSuffix) + ".lock" }

const socketSuffix = ".sock"

// Dir returns the directory of this user's sockets, made where it is missing:
// below XDG_RUNTIME_DIR, else below the user's cache. It fails with [ErrUnsafe]
// when others could write there, or when it is somebody else's.
func Dir(getenv func(string) string) (string, error) {
	base := getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(base) || len(base) > maxPath-nameRoom {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("there is no place for a shared connection: %w", err)
		}
		if base = getenv("XDG_CACHE_HOME"); !filepath.IsAbs(base) {
			base = filepath.Join(home, ".cache")
		}
		if err := os.MkdirAll(base, 0o700); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(base, "shellagent-share")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, checkDir(dir)
}

// nameRoom is what the directory and the name of a socket take of its path.
const nameRoom = len("/shellagent-share/") + nameLength + len(socketSuffix)

const nameLength = 26

// checkDir refuses a directory that others could put a socket into.
func checkDir(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !isOwn(info) {
		return fmt.Errorf("%s: %w: it must be a directory of yours with the mode 0700", dir, ErrUnsafe)
	}
	return nil
}

// PlaceOf is where those meet who agree on every one of the settings: the
// address, the key, and whatever else makes a connection what it is.
func PlaceOf(dir string, settings ...string) (Place, error) {
	h := sha256.New()
	for _, s := range settings {
		fmt.Fprintf(h, "%d:%s,", len(s), s)
	}
	name := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)))[:nameLength]
	return PlaceAt(filepath.Join(dir, name+socketSuffix))
}

// PlaceAt is a place with a path of the caller's choice (ssh's ControlPath).
func PlaceAt(socket string) (Place, error) {
	if len(socket) > maxPath {
		return Place{}, fmt.Errorf("%s: the path of a socket has at most %d bytes", socket, maxPath)
	}
	return Place{Socket: socket}, nil
}

// Places lists where holders may be met in a directory, in no order.
func Places(dir string) ([]Place, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []Place
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), socketSuffix) && e.Type()&os.ModeSocket != 0 {
			all = append(all, Place{Socket: filepath.Join(dir, e.Name())})
		}
	}
	return all, nil
}
