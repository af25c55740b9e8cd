//go:build !linux

package shellhttp

import (
	"syscall"
	"time"
)

func setNotSentLowat(syscall.Conn, int) {}

func roundTripOf(syscall.Conn) time.Duration { return 0 }

func setSendBuffer(syscall.Conn, int) {}

// awaitReadable leaves it to the read to wait.
func awaitReadable(syscall.Conn) error { return nil }
