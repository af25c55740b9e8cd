package copying

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// partPrefix and partSuffix surround a file's name until it is whole.
const (
	partPrefix = "."
	partSuffix = ".agent-part"
)

// maxName is what file systems take, in bytes (NAME_MAX, limits.h).
const maxName = 255

// partName is what a file is called while it is written: the same for every
// attempt, so that one goes on where another ended. What has no room is told
// apart by a digest.
func partName(name string) string {
	if len(partPrefix)+len(name)+len(partSuffix) <= maxName {
		return partPrefix + name + partSuffix
	}
	sum := sha256.Sum256([]byte(name))
	tail := "~" + hex.EncodeToString(sum[:8]) + partSuffix
	return partPrefix + strings.ToValidUTF8(name[:maxName-len(partPrefix)-len(tail)], "") + tail
}

// isPart says whether a name is that of a file that is being written.
func isPart(name string) bool {
	return strings.HasPrefix(name, partPrefix) && strings.HasSuffix(name, partSuffix) && len(name) > len(partPrefix)+len(partSuffix)
}

// checkName refuses what is not the plain name of something in a directory: it
// is the other side's.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return errors.New("not a name")
	case strings.ContainsAny(name, "/\x00") || strings.ContainsRune(name, os.PathSeparator):
		return errors.New("not the name of one thing")
	case len(name) > maxName:
		return fmt.Errorf("a name of %d bytes; at most %d", len(name), maxName)
	case isPart(name):
		return errors.New("the name is that of a copy which is under way")
	case !filepath.IsLocal(name):
		return errors.New("this system has no such names")
	}
	return nil
}

// join is a path for messages, and for what is looked up by path.
func join(dir, name string) string {
	switch {
	case name == "":
		return dir
	case dir == "" || dir == ".":
		return name
	case strings.HasSuffix(dir, "/"):
		return dir + name
	}
	return dir + "/" + name
}
