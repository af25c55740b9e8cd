package sftpd

import (
	"io/fs"
	"os"
	"os/user"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// expand replaces "~" and "~USER" at the beginning, and makes the name absolute.
func (s *server) expand(typed string) (string, error) {
	rest, is := strings.CutPrefix(typed, "~")
	if !is {
		return s.RealPath(typed)
	}
	name, below, _ := strings.Cut(rest, "/")
	home := os.Getenv("HOME")
	switch {
	case s.limited() && name != "":
		return "", fs.ErrNotExist
	case s.limited():
		home = s.start
	case name != "":
		u, err := user.Lookup(name)
		if err != nil {
			return "", fs.ErrNotExist
		}
		home = u.HomeDir
	}
	if home == "" {
		home = s.start
	}
	return s.RealPath(path.Join(home, below))
}

// limited says that some directories alone are served: who else is on the host is
// nothing for those who have them.
func (s *server) limited() bool {
	_, all := s.tree.(whole)
	return !all
}

// maxIDs bounds how many users and groups are looked up at once.
const maxIDs = 1024

// usersAndGroups tells names. One that is not known is empty.
func usersAndGroups(id uint32, f *fields) []byte {
	users, groups := f.text(), f.text()
	if f.short || len(users)+len(groups) > 4*maxIDs {
		return status(id, syscall.EBADMSG)
	}
	byUser := namesOf(users, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
	byGroup := namesOf(groups, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
	return newPacket(typeReply, id).text(byUser).text(byGroup).done()
}

func namesOf(ids string, look func(id string) (string, error)) string {
	var names packet
	f := &fields{rest: []byte(ids)}
	for len(f.rest) > 0 {
		name, err := look(strconv.FormatUint(uint64(f.number()), 10))
		if err != nil {
			name = ""
		}
		names = names.text(name)
	}
	return string(names)
}
