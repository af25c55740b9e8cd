package agent

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// exec is what replaces the program; tests put something else here.
var exec = syscall.Exec

// prepareExec makes the descriptors outlive an exec, and the moments around it
// safe. What it did is undone by restore, when the exec failed.
//
// No child may be started meanwhile: it would inherit the descriptors. And no
// hang-up or interrupt may arrive, since the program that is being loaded does
// not handle them yet and would end by them; ignoring is kept over an exec. A
// SIGTERM in that moment does end the agent, less politely than usual: whoever
// sent it wanted that.
func prepareExec(descriptors []int) (restore func(), err error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	syscall.ForkLock.Lock()
	hangUp, interrupt := ignore(unix.SIGHUP), ignore(unix.SIGINT)
	restore = func() {
		for _, fd := range descriptors {
			unix.CloseOnExec(fd)
		}
		hangUp.restore()
		interrupt.restore()
		syscall.ForkLock.Unlock()
		// syscall.Exec lowers the limit to what the agent was started with.
		raiseFiles(files)
	}
	for _, fd := range descriptors {
		_, failed := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		err = errors.Join(err, failed)
	}
	if err != nil {
		restore()
		return nil, fmt.Errorf("keep descriptors open: %w", err)
	}
	return restore, nil
}

// disposition is what the kernel does with a signal: struct sigaction, of which
// only the first word, the handler, is looked at here.
type disposition struct {
	signal unix.Signal
	before [32]uintptr
}

// ignore makes the kernel drop a signal. The runtime need not know: it is for a
// moment, or for the next program.
func ignore(s unix.Signal) *disposition {
	d := &disposition{signal: s}
	ignored := [32]uintptr{1} // SIG_IGN
	setDisposition(s, &ignored, &d.before)
	return d
}

func (d *disposition) restore() { setDisposition(d.signal, &d.before, nil) }

func setDisposition(s unix.Signal, to, from *[32]uintptr) {
	const maskSize = 8
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s),
		uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(from)), maskSize, 0, 0)
}

// raiseFiles sets the limit of open files. It does not go through package
// syscall, which would give children this limit instead of the one that the
// agent was started with.
func raiseFiles(to unix.Rlimit) {
	_, _, _ = unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&to)), 0, 0, 0)
}
