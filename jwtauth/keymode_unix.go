//go:build unix

package jwtauth

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkKeyMode refuses what ssh refuses, a key of one's own that anybody else
// may touch, and more: somebody else's key that everybody may read or that its
// group may write. A secret that root mounted for a group passes.
func checkKeyMode(path string, info fs.FileInfo) error {
	forbidden := fs.FileMode(0o077)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		forbidden = 0o027
	}
	if info.Mode().Perm()&forbidden != 0 {
		return fmt.Errorf("%s has the mode %04o, so others may use the key: run chmod 600 %s",
			path, info.Mode().Perm(), path)
	}
	return nil
}
