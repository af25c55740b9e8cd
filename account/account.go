package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrUnknown says that the host has no such user or group, as opposed to not
// having answered. Match it with errors.Is.
var ErrUnknown = errors.New("unknown to this host")

// User is an entry of the password database (passwd(5)).
type User struct {
	Name  string
	UID   uint32
	GID   uint32
	Gecos string
	// Home and Shell are never empty: an empty home is "/", an empty shell
	// "/bin/sh".
	Home  string
	Shell string

	password string // "x" when it is in the shadow database
}

const (
	firstUserUID = 1000  // UID_MIN of login.defs(5) wherever it was looked at
	nobodyUID    = 65534 // the kernel's overflow uid
)

// System reports whether the account belongs to the system or a service, by
// its number, rather than to a person.
func (u User) System() bool { return u.UID < firstUserUID || u.UID == nobodyUID }

// Group is an entry of the group database (group(5)), without its members.
type Group struct {
	Name string
	GID  uint32
}

// State is what the shadow database says of an account (shadow(5)).
type State struct {
	// Locked says that somebody locked the account: usermod -L and passwd -l put
	// a "!" before the password. A "!" or "!!" alone is how useradd leaves an
	// account that never had one; there keys are welcome, as under sshd with PAM.
	Locked bool
	// Expired says that the account's expiry date has come.
	Expired bool
}

// host is the one directory that the package's functions ask.
var host = NewDirectory()

// Host returns the directory that the package's functions ask, so that all who
// are given it remember together.
func Host() *Directory { return host }

// Lookup returns the user called name on this host; see [Directory.Lookup].
func Lookup(ctx context.Context, name string) (*User, error) { return host.Lookup(ctx, name) }

// Self returns the user this process runs as; see [Directory.Self].
func Self(ctx context.Context) (*User, error) { return host.Self(ctx) }

// LookupGroup returns the group called name on this host; see
// [Directory.LookupGroup].
func LookupGroup(ctx context.Context, name string) (Group, error) { return host.LookupGroup(ctx, name) }

// maxName is LOGIN_NAME_MAX of Linux, with the final NUL.
const maxName = 255

// CheckName returns an error unless name may be looked up: letters, digits and
// "_.@+-", first a letter, digit or "_", a "$" at the end for machine accounts.
// A name of digits alone is refused, since NSS would take it for a number, and
// a leading "-", since getent would take it for an option.
func CheckName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("name of %d bytes; use 1 to %d", len(name), maxName)
	}
	digits := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && strings.IndexByte(".@+-", c) >= 0:
		case c == '$' && i > 0 && i == len(name)-1:
		default:
			return fmt.Errorf("name %q has a character that names of users and groups do not have", name)
		}
	}
	if digits == len(name) {
		return fmt.Errorf("name %q is a number; use the name", name)
	}
	return nil
}
