package alarm

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// exactTimer is a timerfd(2), which Go's poller wakes for as for a socket.
type exactTimer struct {
	mu     sync.Mutex
	fd     int // -1 when closed
	file   *os.File
	passed [8]byte // timerfd's count, of no interest
}

// newExactTimer returns nil when the system has no descriptor left.
func newExactTimer() *exactTimer {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil
	}
	return &exactTimer{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}
}

func (e *exactTimer) set(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd >= 0 {
		// It fails for what is no timer alone.
		_ = unix.TimerfdSettime(e.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}, nil)
	}
}

func (e *exactTimer) wait() bool {
	_, err := e.file.Read(e.passed[:])
	return err == nil
}

func (e *exactTimer) close() {
	e.mu.Lock()
	e.fd = -1
	e.mu.Unlock()
	e.file.Close()
}
