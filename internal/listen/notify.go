package listen

import (
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// State is what the agent tells systemd of itself (sd_notify(3)).
type State string

// The states. Reloading carries the moment it was reached, as Type=notify-reload
// requires.
const (
	Ready     State = daemon.SdNotifyReady
	Stopping  State = daemon.SdNotifyStopping
	Reloading State = daemon.SdNotifyReloading
)

// Notify tells systemd a state. Without systemd it does nothing.
func Notify(s State) error {
	text := string(s)
	if s == Reloading {
		text += fmt.Sprintf("\nMONOTONIC_USEC=%d", monotonic().Microseconds())
	}
	_, err := daemon.SdNotify(false, text)
	return err
}

func monotonic() time.Duration {
	var t unix.Timespec
	// CLOCK_MONOTONIC is always there.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}
