package account

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseUser parses a line of passwd(5).
func parseUser(line string) (*User, error) {
	f := strings.Split(line, ":")
	if len(f) != 7 || f[0] == "" {
		return nil, fmt.Errorf("entry %q is not one of the password database", line)
	}
	uid, err := parseID(f[2])
	if err != nil {
		return nil, err
	}
	gid, err := parseID(f[3])
	if err != nil {
		return nil, err
	}
	u := &User{Name: f[0], password: f[1], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]}
	if u.Home == "" {
		u.Home = "/"
	}
	if u.Shell == "" {
		u.Shell = "/bin/sh"
	}
	return u, nil
}

// parseGroup parses a line of group(5).
func parseGroup(line string) (Group, error) {
	f := strings.Split(line, ":")
	if len(f) != 4 || f[0] == "" {
		return Group{}, fmt.Errorf("entry %.100q is not one of the group database", line)
	}
	gid, err := parseID(f[2])
	if err != nil {
		return Group{}, err
	}
	return Group{Name: f[0], GID: gid}, nil
}

// parseID refuses the number that setresuid(2) takes for "no change": a user
// with it would run as the agent.
func parseID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == math.MaxUint32 || text[0] == '+' {
		return 0, fmt.Errorf("number %q is not one of a user or group", text)
	}
	return uint32(n), nil
}

// parseInitgroups parses a line of "getent initgroups": the name and numbers.
func parseInitgroups(line string) ([]uint32, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil, fmt.Errorf("the host's list of groups is empty")
	}
	groups := make([]uint32, 0, len(fields)-1)
	for _, f := range fields[1:] {
		gid, err := parseID(f)
		if err != nil {
			return nil, err
		}
		groups = append(groups, gid)
	}
	return sortedGroups(groups), nil
}

// never is an expiry day that does not come.
const never = -1

// shadow is what policy needs of a line of shadow(5).
type shadow struct {
	password string
	expires  int64 // day since 1970-01-01 from which the account is closed
}

func parseShadow(line string) (shadow, error) {
	f := strings.Split(line, ":")
	if len(f) != 9 {
		// The line holds a password hash: it is not shown.
		return shadow{}, fmt.Errorf("the entry has %d fields, not the 9 of the shadow database", len(f))
	}
	s := shadow{password: f[1], expires: never}
	// The C library prints an absent date as -1 or as nothing.
	if f[7] != "" && f[7] != "-1" {
		day, err := strconv.ParseInt(f[7], 10, 64)
		if err != nil {
			return shadow{}, fmt.Errorf("expiry day %q is not a number", f[7])
		}
		s.expires = day
	}
	return s, nil
}

// state judges the entry. The account is closed from the start of its expiry
// day, as pam_unix and chage(1) have it; day 0, which "chage -E 0" sets, closes
// it too.
func (s shadow) state(now time.Time) State {
	const day = 24 * 60 * 60
	return State{
		Locked:  strings.HasPrefix(s.password, "!") && strings.Trim(s.password, "!") != "",
		Expired: s.expires != never && now.Unix()/day >= s.expires,
	}
}
