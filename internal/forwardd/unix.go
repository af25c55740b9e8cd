package forwardd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// resolved is a path free of symbolic links as far as it exists, so that what is
// asked about is what will be opened.
func resolved(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// errMoved is what somebody who puts a symbolic link in the way sees.
var errMoved = errors.New("a symbolic link came into the path")

// hold opens what is at a resolved path without using it, and follows no symbolic
// link on the way: the path may have changed since it was asked about.
func hold(path string, flags uint64) (int, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	switch {
	case errors.Is(err, unix.ELOOP):
		return -1, errMoved
	// Before Linux 5.6, and under a container's filter that does not know it, only the
	// last name can be held to be no link.
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW|int(flags), 0)
	}
	return fd, err
}

// held is the name that the kernel has for an open descriptor. It is also short
// enough for a socket's address, which has 108 bytes.
func held(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	fd, err := hold(path, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var d net.Dialer
	return d.DialContext(ctx, "unix", held(fd))
}

// boundSocket is a Unix socket that is removed when it is closed.
type boundSocket struct {
	*net.UnixListener
	dir  int
	name string
	own  unix.Stat_t // as it was made
}

// bindUnix listens at a resolved path. With unlink, a socket that is there already
// is removed first, and nothing else ever is.
func bindUnix(path string, unlink bool) (*boundSocket, error) {
	dir, err := hold(filepath.Dir(path), unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	b := &boundSocket{dir: dir, name: filepath.Base(path)}
	if err := b.bind(path, unlink); err != nil {
		unix.Close(dir)
		return nil, err
	}
	return b, nil
}

func (b *boundSocket) bind(path string, unlink bool) error {
	var there unix.Stat_t
	err := unix.Fstatat(b.dir, b.name, &there, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && there.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fmt.Errorf("%s is there, and is no socket", path)
	case err == nil && !unlink:
		return fmt.Errorf("%s is there already: remove it, or ask for that (StreamLocalBindUnlink yes)", path)
	case err == nil:
		err = unix.Unlinkat(b.dir, b.name, 0)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return err
	}
	b.UnixListener, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: held(b.dir) + "/" + b.name})
	if err != nil {
		return err
	}
	b.SetUnlinkOnClose(false) // it would go by the name of a descriptor
	if err = unix.Fstatat(b.dir, b.name, &b.own, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		b.UnixListener.Close()
	}
	return err
}

// Close removes the socket, if it is still the one that was made.
func (b *boundSocket) Close() error {
	var there unix.Stat_t
	err := unix.Fstatat(b.dir, b.name, &there, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && there.Ino == b.own.Ino && there.Dev == b.own.Dev {
		_ = unix.Unlinkat(b.dir, b.name, 0)
	}
	_ = unix.Close(b.dir)
	return b.UnixListener.Close()
}
