package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A position is a file below the trail's folder with the number of the next line.
func positionPath(dir, name string) string { return filepath.Join(dir, "sinks", name) }

// readPosition returns the number of the next line for a sink; 0 for one that
// is new.
func readPosition(dir, name string) (uint64, error) {
	b, err := os.ReadFile(positionPath(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", positionPath(dir, name), err)
	}
	return n, nil
}

// writePosition replaces the file as a whole.
func writePosition(dir, name string, next uint64) (err error) {
	path := positionPath(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = fmt.Fprintf(f, "%d\n", next)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
