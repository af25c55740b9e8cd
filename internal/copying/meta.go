package copying

import "io/fs"

// form is what something in a directory is, as far as copies tell it apart.
type form uint8

const (
	formOther form = iota // a device, a pipe, a socket
	formFile
	formDir
	formLink
)

// meta is what is known of something without opening it.
type meta struct {
	form form
	mode uint32 // permission bits as in stat(2), those below 0o10000
	size int64
	sec  int64 // time of change of its content
	nsec uint32
	// sparse says that it has holes.
	sparse bool
	id     any // comparable: which one it is; nil where that is not known
	own    bool
	links  uint64
}

// Modes that are carried over: of files what everybody may do, of directories
// also that they are shared. A set-user-ID file would be one of another user's.
const (
	fileModes = 0o777
	dirModes  = 0o3777
)

func (m *meta) carried() uint32 {
	if m.form == formDir {
		return m.mode & dirModes
	}
	return m.mode & fileModes
}

// sameTime compares with what a file system may have kept of it: all, or the
// seconds.
func (m *meta) sameTime(sec int64, nsec uint32) bool {
	return m.sec == sec && (m.nsec == nsec || m.nsec == 0)
}

// metaOf is what package os knows.
func metaOf(info fs.FileInfo) meta {
	m := meta{mode: uint32(info.Mode().Perm()), size: info.Size(), sec: info.ModTime().Unix(), nsec: uint32(info.ModTime().Nanosecond()), own: true, links: 1}
	switch t := info.Mode().Type(); {
	case t.IsRegular():
		m.form = formFile
	case t.IsDir():
		m.form = formDir
	case t == fs.ModeSymlink:
		m.form = formLink
	}
	for bit, of := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if info.Mode()&of != 0 {
			m.mode |= bit
		}
	}
	return m
}
