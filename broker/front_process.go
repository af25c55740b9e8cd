package broker

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"shellagent/internal/failpoint"
)

// child is a process that was started by a thread of its own.
type child struct {
	process *os.Process
	exited  chan struct{} // closed when it ended and was reaped
	state   *os.ProcessState
}

// startChild starts program from a new thread that lives as long as the child:
// what the thread gives up before — its capability bounding set, and ever
// gaining privileges — the child never has, and the signal that PDEATHSIG asks
// for is sent when the thread ends, which must not be before the agent does
// (prctl(2)).
func startChild(program string, argv []string, attr *os.ProcAttr) (*child, error) {
	c := &child{exited: make(chan struct{})}
	started := make(chan error, 1)
	onOwnThread(func() {
		giveUpPrivileges()
		p, err := os.StartProcess(program, argv, attr)
		if err != nil {
			started <- err
			return
		}
		c.process = p
		started <- nil
		c.state, _ = p.Wait()
		close(c.exited)
	})
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// kill ends the child and waits until it is gone.
func (c *child) kill() {
	_ = c.process.Kill()
	<-c.exited
}

// ended says how it ended.
func (c *child) ended() string {
	if c.state == nil {
		return "unknown"
	}
	return c.state.String()
}

// onOwnThread runs f on a thread that runs nothing else before it ends with f.
// That is never the main thread, whose state is what /proc shows for the agent.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f() // the thread ends with this goroutine, since it is still locked
			return
		}
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked
		runtime.UnlockOSThread()
	}()
}

// giveUpPrivileges empties the calling thread's bounding and ambient sets, as
// far as it may, and sets no_new_privs. What fails here the front does again
// and reports.
func giveUpPrivileges() {
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	}
}

// startFront starts the front with the given descriptors from 3 on.
func startFront(cfg *FrontConfig, stderr *os.File, inherited []*os.File) (*child, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	c, err := startChild(cfg.Program[0], cfg.Program[1:], &os.ProcAttr{
		Dir:   "/",
		Env:   append(cfg.Env, failpoint.Environ()...),
		Files: append([]*os.File{null, null, stderr}, inherited...),
		Sys: &syscall.SysProcAttr{
			Credential: cfg.Credential,
			// A Ctrl-C at the agent's terminal is not the front's. It stays in the
			// agent's session all the same: that tells it from sessions' programs.
			Setpgid:   true,
			Pdeathsig: syscall.SIGKILL,
		},
	})
	switch {
	case err == nil:
		return c, nil
	case os.IsPermission(err) && cfg.Credential != nil:
		exe, _ := os.Readlink("/proc/self/exe")
		return nil, fmt.Errorf("start the front as uid %d: %w: the program %s must be executable by everyone (chmod 0755), and the agent needs CAP_SETUID and CAP_SETGID", cfg.Credential.Uid, err, exe)
	default:
		return nil, fmt.Errorf("start the front: %w", err)
	}
}

// raiseFiles sets the limit of open files of another process, best effort: the
// front itself may only lower it.
func raiseFiles(pid int, n uint64) {
	if n > 0 {
		_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}, nil)
	}
}
