//go:build !linux

package alarm

import "time"

type exactTimer struct{}

func newExactTimer() *exactTimer        { return nil }
func (*exactTimer) set(d time.Duration) {}
func (*exactTimer) wait() bool          { return false }
func (*exactTimer) close()              {}
