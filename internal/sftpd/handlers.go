package sftpd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// Fileread implements [sftp.FileReader].
func (s *server) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	return s.open(r.Filepath, os.O_RDONLY, 0)
}

// Filewrite implements [sftp.FileWriter].
func (s *server) Filewrite(r *sftp.Request) (io.WriterAt, error) { return s.openToWrite(r) }

// OpenFile implements [sftp.OpenFileWriter].
func (s *server) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) { return s.openToWrite(r) }

func (s *server) openToWrite(r *sftp.Request) (sftp.WriterAtReaderAt, error) {
	if s.readOnly {
		return nil, denied("open", r.Filepath)
	}
	asked := r.Pflags()
	flag := os.O_WRONLY
	if asked.Read {
		flag = os.O_RDWR
	}
	for wanted, bit := range map[*bool]int{&asked.Creat: os.O_CREATE, &asked.Trunc: os.O_TRUNC, &asked.Excl: os.O_EXCL, &asked.Append: os.O_APPEND} {
		if *wanted {
			flag |= bit
		}
	}
	f, err := s.open(r.Filepath, flag, createMode(r.Attrs))
	if err != nil {
		return nil, err
	}
	if asked.Append {
		return newAppending(f), nil
	}
	return f, nil
}

// open opens regular files alone: to open a device, or the end of a pipe, is to
// do more than to read or write a file.
func (s *server) open(name string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := s.tree.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, perm)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// createMode is the mode of a new file, less the umask. A request says it in
// attributes whose flags package sftp does not pass on: four bytes are a mode
// alone, which is what clients send.
func createMode(attributes []byte) fs.FileMode {
	if len(attributes) == 4 {
		return fs.FileMode(binary.BigEndian.Uint32(attributes)) & fs.ModePerm
	}
	return 0o666
}

func denied(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: syscall.EACCES}
}

// Filecmd implements [sftp.FileCmder]: whatever changes something.
func (s *server) Filecmd(r *sftp.Request) error {
	if s.readOnly {
		return denied(r.Method, r.Filepath)
	}
	switch r.Method {
	case "Setstat":
		return s.setAttributes(r)
	case "Rename":
		// Version 3 says that it fails where there is something.
		if _, err := s.tree.Lstat(r.Target); err == nil {
			return &os.LinkError{Op: "rename", Old: r.Filepath, New: r.Target, Err: syscall.EEXIST}
		}
		return s.tree.Rename(r.Filepath, r.Target)
	case "Mkdir":
		return s.tree.Mkdir(r.Filepath, 0o777)
	case "Rmdir":
		return s.remove(r.Filepath, true)
	case "Remove":
		return s.remove(r.Filepath, false)
	case "Link":
		return s.tree.Link(r.Filepath, r.Target)
	case "Symlink":
		// Filepath is what the link says, as it was sent.
		return s.tree.Symlink(r.Filepath, r.Target)
	}
	return sftp.ErrSSHFxOpUnsupported
}

// PosixRename implements [sftp.PosixRenameFileCmder].
func (s *server) PosixRename(r *sftp.Request) error {
	if s.readOnly {
		return denied("rename", r.Filepath)
	}
	return s.tree.Rename(r.Filepath, r.Target)
}

// remove keeps rmdir from removing files, and the other way round.
func (s *server) remove(name string, dir bool) error {
	info, err := s.tree.Lstat(name)
	switch {
	case err != nil:
		return err
	case dir && !info.IsDir():
		return &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
	case !dir && info.IsDir():
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.EISDIR}
	}
	return s.tree.Remove(name)
}

func (s *server) setAttributes(r *sftp.Request) error {
	has, to := r.AttrFlags(), r.Attributes()
	if to == nil {
		return sftp.ErrSSHFxBadMessage
	}
	if has.Size {
		if err := s.truncate(r.Filepath, to.Size); err != nil {
			return err
		}
	}
	if has.UidGid {
		if err := s.tree.Chown(r.Filepath, int(to.UID), int(to.GID)); err != nil {
			return err
		}
	}
	// After the owner, whose change takes set-id bits away.
	if has.Permissions {
		if err := s.tree.Chmod(r.Filepath, to.FileMode()); err != nil {
			return err
		}
	}
	if has.Acmodtime {
		return s.tree.Chtimes(r.Filepath, time.Unix(int64(to.Atime), 0), time.Unix(int64(to.Mtime), 0))
	}
	return nil
}

func (s *server) truncate(name string, size uint64) error {
	f, err := s.open(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if int64(size) < 0 {
		return fmt.Errorf("truncate %s: %w", name, syscall.EFBIG)
	}
	return f.Truncate(int64(size))
}

// StatVFS implements [sftp.StatVFSFileCmder].
func (s *server) StatVFS(r *sftp.Request) (*sftp.StatVFS, error) {
	f, err := s.tree.OpenFile(r.Filepath, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	return &sftp.StatVFS{
		Bsize: uint64(st.Bsize), Frsize: uint64(st.Frsize), Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail,
		Files: st.Files, Ffree: st.Ffree, Favail: st.Ffree, Namemax: uint64(st.Namelen),
	}, nil
}

// RealPath implements [sftp.RealPathFileLister].
func (s *server) RealPath(name string) (string, error) {
	if !path.IsAbs(name) {
		name = path.Join(s.start, name)
	}
	return s.tree.Resolve(path.Clean(name)), nil
}

// Readlink implements [sftp.ReadlinkFileLister].
func (s *server) Readlink(name string) (string, error) { return s.tree.Readlink(name) }
