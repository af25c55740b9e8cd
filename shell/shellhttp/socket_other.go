//go:build !linux

package shellhttp

import "syscall"

func setNotSentLowat(syscall.Conn, int) {}
