//go:build !linux

package bulk

import "time"

// awaitReadable does not wait: the runtime's poller does as well.
func awaitReadable(uintptr, time.Duration) bool { return false }

func setPipeSize(uintptr, int) {}
