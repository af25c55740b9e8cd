package account

import (
	"errors"
	"os"
	"strings"
)

// Shells returns the shells of /etc/shells (shells(5)): those with which a user
// is not restricted. Without the file they are those of getusershell(3) and
// bash. It is not remembered: the file is small and seldom asked for.
func (d *Directory) Shells() ([]string, error) {
	var shells []string
	err := d.eachLine("shells", func(line string) bool {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
			shells = append(shells, line)
		}
		return true
	})
	if errors.Is(err, os.ErrNotExist) {
		return []string{"/bin/sh", "/bin/csh", "/bin/bash"}, nil
	}
	return shells, err
}
