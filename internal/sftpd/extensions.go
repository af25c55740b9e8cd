package sftpd

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// extensions are those that the gate answers, with their versions, as OpenSSH's
// PROTOCOL §4 and draft-ietf-secsh-filexfer-extensions-00 have them.
var extensions = [][2]string{
	{"fsync@openssh.com", "1"}, {"lsetstat@openssh.com", "1"}, {"limits@openssh.com", "1"}, {"expand-path@openssh.com", "1"},
	{"copy-data", "1"}, {"home-directory", "1"}, {"users-groups-by-id@openssh.com", "1"},
}

// maxData bounds the data of one read or write, as OpenSSH's server does: a packet
// less what stands before the data.
const maxData = maxPacket - 1024

// extended adds the extensions to what the server says of itself.
func extended(version []byte) []byte {
	p := packet(append([]byte(nil), version...))
	for _, e := range extensions {
		p = p.text(e[0]).text(e[1])
	}
	return p.done()
}

// answer does what an extension asks for, and returns nil for one of package
// sftp's or of nobody's.
func (s *server) answer(g *gate, id uint32, name string, f *fields) []byte {
	switch name {
	case "limits@openssh.com":
		return newPacket(typeReply, id).long(maxPacket).long(maxData).long(maxData).long(0).done()
	case "fsync@openssh.com":
		return status(id, s.sync(g, f))
	case "copy-data":
		return status(id, s.copyData(g, f))
	case "lsetstat@openssh.com":
		return status(id, s.setLinkAttributes(f))
	case "expand-path@openssh.com", "home-directory":
		typed := f.text()
		if name == "home-directory" {
			typed = "~" + typed
		}
		full, err := s.expand(typed)
		if err != nil || f.short {
			return status(id, errors.Join(err, f.err()))
		}
		return newPacket(typeName, id).number(1).text(full).text(full).number(0).done()
	case "users-groups-by-id@openssh.com":
		if s.limited() {
			return status(id, errors.ErrUnsupported)
		}
		return usersAndGroups(id, f)
	}
	return nil
}

func (f *fields) err() error {
	if f.short {
		return syscall.EBADMSG
	}
	return nil
}

// status says how a request went, in the codes of version 3.
func status(id uint32, err error) []byte {
	code, text := uint32(0), "Success"
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		code, text = 2, "No such file"
	case errors.Is(err, fs.ErrPermission):
		code, text = 3, "Permission denied"
	case errors.Is(err, syscall.EBADMSG):
		code, text = 5, "Bad message"
	case errors.Is(err, errors.ErrUnsupported):
		code, text = 8, "Operation unsupported"
	default:
		code, text = 4, err.Error()
	}
	return newPacket(typeStatus, id).number(code).text(text).text("").done()
}

// again opens what a handle is open for once more: package sftp keeps its own to
// itself. It is the same file, unless the name has got another meanwhile.
func (s *server) again(g *gate, handle string, flag int) (*os.File, error) {
	name, ok := g.name(handle)
	if !ok {
		return nil, syscall.EBADF
	}
	return s.open(s.absolute(name), flag, 0)
}

func (s *server) absolute(name string) string {
	if !path.IsAbs(name) {
		name = path.Join(s.start, name)
	}
	return path.Clean(name)
}

// sync has what was written to a file reach its disk.
func (s *server) sync(g *gate, f *fields) error {
	handle := f.text()
	if f.short {
		return f.err()
	}
	file, err := s.again(g, handle, os.O_RDONLY)
	if errors.Is(err, fs.ErrPermission) && !s.readOnly {
		file, err = s.again(g, handle, os.O_WRONLY) // one that may be written alone
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// copyData copies from one open file to another, which stays here.
func (s *server) copyData(g *gate, f *fields) error {
	from, at, length, to, offset := f.text(), f.long(), f.long(), f.text(), f.long()
	switch {
	case f.short:
		return f.err()
	case s.readOnly:
		return fs.ErrPermission
	case from == to || int64(at) < 0 || int64(length) < 0 || int64(offset) < 0:
		return syscall.EINVAL
	}
	in, err := s.again(g, from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.again(g, to, os.O_WRONLY)
	if err != nil {
		return err
	}
	defer out.Close()
	if sameFile(in, out) {
		return syscall.EINVAL // where each byte would be read after it was written
	}
	if _, err := in.Seek(int64(at), io.SeekStart); err != nil {
		return err
	}
	if _, err := out.Seek(int64(offset), io.SeekStart); err != nil {
		return err
	}
	source := io.Reader(in)
	if length > 0 {
		source = io.LimitReader(in, int64(length))
	}
	_, err = io.Copy(out, source)
	return err
}

func sameFile(a, b *os.File) bool {
	one, err := a.Stat()
	if err != nil {
		return false
	}
	other, err := b.Stat()
	return err == nil && os.SameFile(one, other)
}

// Flags of attributes (§5).
const (
	hasSize = 1 << iota
	hasOwner
	hasMode
	hasTimes
)

// setLinkAttributes is setAttributes that follows no symbolic link. Of a link
// itself the system changes the owner alone.
func (s *server) setLinkAttributes(f *fields) error {
	name, has := s.absolute(f.text()), f.number()
	var size uint64
	var uid, gid, mode, accessed, modified uint32
	if has&hasSize != 0 {
		size = f.long()
	}
	if has&hasOwner != 0 {
		uid, gid = f.number(), f.number()
	}
	if has&hasMode != 0 {
		mode = f.number()
	}
	if has&hasTimes != 0 {
		accessed, modified = f.number(), f.number()
	}
	switch {
	case f.short:
		return f.err()
	case s.readOnly:
		return fs.ErrPermission
	case has&^(hasSize|hasOwner|hasMode|hasTimes) != 0 || size != 0:
		return errors.ErrUnsupported
	}
	info, err := s.tree.Lstat(name)
	if err != nil {
		return err
	}
	link := info.Mode()&fs.ModeSymlink != 0
	if has&hasOwner != 0 {
		if err := s.tree.Lchown(name, int(uid), int(gid)); err != nil {
			return err
		}
	}
	if link && has&(hasMode|hasTimes) != 0 {
		return errors.ErrUnsupported
	}
	if has&hasMode != 0 {
		if err := s.tree.Chmod(name, modeOf(mode)); err != nil {
			return err
		}
	}
	if has&hasTimes != 0 {
		return s.tree.Chtimes(name, time.Unix(int64(accessed), 0), time.Unix(int64(modified), 0))
	}
	return nil
}

// modeOf is the mode of a file as os has it.
func modeOf(mode uint32) fs.FileMode {
	m := fs.FileMode(mode) & fs.ModePerm
	for bit, flag := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}
