package process

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// identity is who a program runs as.
type identity struct {
	user   string
	home   string
	uid    uint32
	gid    uint32
	groups []uint32
	// own says that the agent is not root and this is its own user: there is
	// nothing to change, and nothing could be.
	own bool
}

// identityOf refuses what the agent's own privileges cannot give.
func identityOf(c shell.Credential) (identity, error) {
	id := identity{user: c.User, home: c.Home, uid: c.UID, gid: c.GID, groups: c.Groups}
	euid, egid := uint32(os.Geteuid()), uint32(os.Getegid())
	if euid == 0 {
		return id, nil
	}
	if c.UID != euid {
		return id, fmt.Errorf("the agent runs as uid %d and cannot start a program as %s (uid %d): run the agent as root", euid, c.User, c.UID)
	}
	if c.GID != egid {
		return id, fmt.Errorf("the agent runs with gid %d and cannot start a program with group %s (gid %d): run the agent as root", egid, c.Group, c.GID)
	}
	id.own = true
	return id, nil
}

// credential is what the child becomes: setgroups, setgid, setuid, in this
// order, before it touches a file. setuid by root sets the saved uid too, so
// there is no way back.
func (id identity) credential() *syscall.Credential {
	if id.own {
		return nil
	}
	return &syscall.Credential{Uid: id.uid, Gid: id.gid, Groups: id.groups}
}

// look runs f with the user's rights to files, and gives up with ctx: a home
// directory on a dead file server must not stop the agent, nor fill it with
// threads. f must not touch what its caller reads after an error.
//
// The check is for good errors and is not the guard: the child opens, enters
// and executes with the user's rights for real.
func (id identity) look(ctx context.Context, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := looking.begin(ctx, id.uid); err != nil {
		return fmt.Errorf("look at files as %s: %w", id.user, err)
	}
	var failed error
	done := make(chan struct{})
	go onOwnThread(func() {
		defer close(done)
		defer looking.end(id.uid)
		if failed = id.assume(); failed == nil {
			f()
		}
	})
	select {
	case <-done:
		return failed
	case <-ctx.Done():
		return fmt.Errorf("look at files as %s: %w", id.user, ctx.Err())
	}
}

// assume gives the calling thread the user's rights to files, and takes root's:
// the kernel drops the capabilities over files with the file system uid. The
// real uid stays root's, so the user cannot signal the thread.
func (id identity) assume() error {
	if id.own {
		return nil
	}
	groups := make([]int, len(id.groups))
	for i, g := range id.groups {
		groups[i] = int(g)
	}
	if err := unix.Setgroups(groups); err != nil {
		return fmt.Errorf("set the groups of %s: %w", id.user, err)
	}
	// setfsuid(2) tells failure only by the value that stays.
	_, _ = unix.SetfsgidRetGid(int(id.gid))
	if now, _ := unix.SetfsgidRetGid(-1); uint32(now) != id.gid {
		return fmt.Errorf("look at files with gid %d: not permitted", id.gid)
	}
	_, _ = unix.SetfsuidRetUid(int(id.uid))
	if now, _ := unix.SetfsuidRetUid(-1); uint32(now) != id.uid {
		return fmt.Errorf("look at files as uid %d: not permitted", id.uid)
	}
	return nil
}

// onOwnThread runs f on a thread of the operating system that ends with f, so
// that what f changes about its thread is seen by nobody else.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end. While it waits here, f gets another.
			onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		f() // never unlocked: the thread ends with the goroutine
	}()
	<-done
}
