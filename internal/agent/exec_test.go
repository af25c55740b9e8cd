package agent

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func closesOnExec(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.FD_CLOEXEC != 0
}

// ignored says whether the kernel drops a signal to this process.
func ignored(t *testing.T, s syscall.Signal) bool {
	t.Helper()
	var now [32]uintptr
	setDisposition(s, nil, &now)
	return now[0] == 1
}

// A failed exec leaves nothing of what was prepared for it.
func TestFailedExecIsUndone(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	var before, after unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	called := false
	exec = func(path string, argv, env []string) error {
		called = true
		if closesOnExec(t, fd) || !ignored(t, unix.SIGHUP) || !ignored(t, unix.SIGINT) || ignored(t, unix.SIGTERM) {
			t.Error("the moment of the exec is not prepared")
		}
		if path != "/new" || argv[0] != os.Args[0] || !strings.HasPrefix(env[len(env)-1], "X=") {
			t.Errorf("executes %s %v with %s", path, argv, env[len(env)-1])
		}
		if syscall.ForkLock.TryRLock() {
			t.Error("a child may be started")
		}
		return syscall.ENOEXEC
	}
	defer func() { exec = syscall.Exec }()
	if err := execute("/new", []int{fd}, "X=1"); !errors.Is(err, syscall.ENOEXEC) || !called {
		t.Errorf("got %v", err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &after); err != nil {
		t.Fatal(err)
	}
	if !closesOnExec(t, fd) || ignored(t, unix.SIGHUP) || before != after {
		t.Error("something of the exec is left")
	}
	if err := execute("/new", []int{1 << 20}, "X=1"); !errors.Is(err, syscall.EBADF) || ignored(t, unix.SIGHUP) {
		t.Errorf("with a descriptor that is not open: %v", err)
	}
}
