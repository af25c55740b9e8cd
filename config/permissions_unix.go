//go:build unix

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	maxLinks = 40 // as Linux; path_resolution(7)
	// writableByOthers are the bits that sshd's StrictModes refuses.
	writableByOthers = 0o022
)

// CheckPermissions returns an error unless nobody but root and the caller's
// own user can change the file at path or put another in its place: the file,
// every directory above it and every symbolic link on the way must belong to one
// of the two and be writable by neither group nor others, as sshd's
// StrictModes wants it (sshd_config(5)).
//
// A directory with the sticky bit may be writable by all, as /tmp is: nobody
// else can rename or remove in it what is not theirs.
func CheckPermissions(path string) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	rest := strings.Split(strings.TrimPrefix(absolute, "/"), "/")
	at := "/"
	if err := checkOne(at); err != nil {
		return err
	}
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return err
		}
		if err := checkMode(next, info); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("%s: too many symbolic links; name the file itself", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

func checkOne(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return checkMode(path, info)
}

func checkMode(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New(path + ": its owner cannot be told on this system")
	}
	if owner := int(stat.Uid); owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d, who could change it; chown it to root or to the agent's user", path, owner)
	}
	mode := info.Mode()
	switch {
	case mode&fs.ModeSymlink != 0: // a link's own bits mean nothing
	case mode.IsDir() && mode&fs.ModeSticky != 0:
	case mode.Perm()&writableByOthers != 0:
		return fmt.Errorf("%s is writable by others (mode %04o); chmod go-w it", path, mode.Perm())
	}
	return nil
}

// openPlain does not wait for a writer when path is a pipe.
func openPlain(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
