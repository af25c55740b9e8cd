package config

// ReadTrusted reads a file of keys or the like, at most [MaxSize] bytes, that
// only root and the caller's own user can have written; see [CheckPermissions].
// Everything on the way is checked before the file is opened, so nobody else
// can exchange it in between.
func ReadTrusted(path string) ([]byte, error) {
	if err := CheckPermissions(path); err != nil {
		return nil, err
	}
	return readBounded(path, MaxSize)
}
