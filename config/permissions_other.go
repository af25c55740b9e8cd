//go:build !unix

package config

import "os"

// CheckPermissions accepts every file: this system has access lists where Unix
// has modes, and only the client, which reads its user's own files, runs here.
func CheckPermissions(path string) error {
	_, err := os.Stat(path)
	return err
}

func openPlain(path string) (*os.File, error) { return os.Open(path) }
