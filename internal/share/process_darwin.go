package share

import "golang.org/x/sys/unix"

// conceal does nothing: see it on Linux.
func conceal() error { return nil }

func dup(from, to int) error { return unix.Dup2(from, to) }
