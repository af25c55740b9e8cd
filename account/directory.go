package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Directory answers from the host's databases and remembers the answers. It is
// safe for concurrent use. What it returns belongs to the caller.
type Directory struct {
	etc    string   // where the files are
	getent []string // where getent may be; the first that exists is run
	euid   int
	uid    int
	now    func() time.Time
	// timeout bounds one question: a directory server may be away.
	timeout time.Duration
	cache   cache
	slots   chan struct{} // bounds the getents that run at once
}

// NewDirectory returns the directory of this host. It asks nothing yet.
func NewDirectory() *Directory {
	return &Directory{
		etc: "/etc",
		// Fixed places: PATH of whoever started the agent is not to be trusted
		// with the question who is who.
		getent: []string{"/usr/bin/getent", "/bin/getent", "/run/current-system/sw/bin/getent"},
		euid:   os.Geteuid(), uid: os.Getuid(),
		now:     time.Now,
		timeout: 3 * time.Second,
		slots:   make(chan struct{}, 4),
	}
}

// Lookup returns the user called name. The error wraps [ErrUnknown] when there
// is none; a name that [CheckName] refuses is unknown too. A database that
// answers with another name (one that ignores case) is refused, so that a user
// has one name in logs and policy.
func (d *Directory) Lookup(ctx context.Context, name string) (*User, error) {
	u, err := d.user(ctx, name)
	if err != nil {
		return nil, err
	}
	copied := *u
	return &copied, nil
}

func (d *Directory) user(ctx context.Context, name string) (*User, error) {
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("user %q: %w: %w", name, ErrUnknown, err)
	}
	return remember(ctx, d, "passwd", name, func(ctx context.Context) (*User, error) {
		line, err := d.entry(ctx, "passwd", name)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
		u, err := parseUser(line)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
		if u.Name != name {
			return nil, fmt.Errorf("user %q: %w: the host calls it %q; use that name", name, ErrUnknown, u.Name)
		}
		return u, nil
	})
}

// Self returns the user whose number this process has.
func (d *Directory) Self(ctx context.Context) (*User, error) {
	number := strconv.Itoa(d.uid)
	u, err := remember(ctx, d, "passwd", number, func(ctx context.Context) (*User, error) {
		line, err := d.entry(ctx, "passwd", number)
		if err != nil {
			return nil, fmt.Errorf("the agent's own uid %s: %w", number, err)
		}
		u, err := parseUser(line)
		if err != nil || u.UID != uint32(d.uid) {
			return nil, fmt.Errorf("the agent's own uid %s: the host answered %q", number, line)
		}
		return u, nil
	})
	if err != nil {
		return nil, err
	}
	copied := *u
	return &copied, nil
}

// LookupGroup returns the group called name; errors are those of
// [Directory.Lookup].
func (d *Directory) LookupGroup(ctx context.Context, name string) (Group, error) {
	if err := CheckName(name); err != nil {
		return Group{}, fmt.Errorf("group %q: %w: %w", name, ErrUnknown, err)
	}
	return remember(ctx, d, "group", name, func(ctx context.Context) (Group, error) {
		line, err := d.entry(ctx, "group", name)
		if err != nil {
			return Group{}, fmt.Errorf("group %q: %w", name, err)
		}
		g, err := parseGroup(line)
		if err != nil {
			return Group{}, fmt.Errorf("group %q: %w", name, err)
		}
		if g.Name != name {
			return Group{}, fmt.Errorf("group %q: %w: the host calls it %q; use that name", name, ErrUnknown, g.Name)
		}
		return g, nil
	})
}

// Groups returns the groups of the user called name as initgroups(3) sets them:
// gid, which is first, and every group that lists the user, ascending. A user
// that no group lists, even an unknown one, has gid alone.
func (d *Directory) Groups(ctx context.Context, name string, gid uint32) ([]uint32, error) {
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("user %q: %w: %w", name, ErrUnknown, err)
	}
	listed, err := remember(ctx, d, "initgroups", name, func(ctx context.Context) ([]uint32, error) {
		groups, err := d.listed(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("groups of user %q: %w", name, err)
		}
		return groups, nil
	})
	if err != nil {
		return nil, err
	}
	groups := make([]uint32, 0, len(listed)+1)
	groups = append(groups, gid)
	for _, g := range listed {
		if g != gid {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// Status returns whether the account is locked or has expired. Only root may
// read the shadow database: to anybody else no account is either, which is
// right for an agent that can become nobody else.
func (d *Directory) Status(ctx context.Context, name string) (State, error) {
	u, err := d.user(ctx, name)
	if err != nil || d.euid != 0 {
		return State{}, err
	}
	s, err := remember(ctx, d, "shadow", name, func(ctx context.Context) (shadow, error) {
		line, err := d.entry(ctx, "shadow", name)
		if errors.Is(err, ErrUnknown) {
			// Users of LDAP and the like need not have an entry.
			return shadow{password: u.password, expires: never}, nil
		}
		if err != nil {
			return shadow{}, fmt.Errorf("shadow entry of user %q: %w", name, err)
		}
		return parseShadow(line)
	})
	if err != nil {
		return State{}, err
	}
	return s.state(d.now()), nil
}

// stamped are the files whose change makes every answer old.
func (d *Directory) stamped() [4]string {
	return [4]string{
		filepath.Join(d.etc, "passwd"), filepath.Join(d.etc, "group"),
		filepath.Join(d.etc, "shadow"), filepath.Join(d.etc, "nsswitch.conf"),
	}
}

// sortedGroups sorts in place and removes doubles.
func sortedGroups(groups []uint32) []uint32 {
	slices.Sort(groups)
	return slices.Compact(groups)
}
