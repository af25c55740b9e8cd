package targets

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"shellagent/config"
)

const (
	// AllGroup is the group of every target of the configuration. No other can
	// have its name.
	AllGroup = "all"
	// MaxTargets bounds how many targets one list may come to.
	MaxTargets = 4096

	// maxGroupDepth bounds how far groups may stand in groups.
	maxGroupDepth = 16
	maxGroup      = 64 // bytes of a name
)

// Pick is one target of a list.
type Pick struct {
	// Source is the one that was given for it, or empty.
	Source string
	// Name is that of an entry of the configuration, or a host.
	Name string
}

// String returns the target as it is typed.
func (p Pick) String() string {
	if p.Source == "" {
		return p.Name
	}
	return p.Source + "@" + p.Name
}

// IsList reports whether a word names targets as a list does: several by commas,
// or a group ("@web", "SOURCE@@web").
func IsList(word string) bool {
	return strings.Contains(word, ",") || strings.HasPrefix(word, "@") || strings.Contains(word, "@@")
}

// Expand returns the targets of a list such as "web1,web2,@db", in its order and
// each once. A source is given for all of them, as source, or for each in the
// list, or for none. It opens nothing: whether a name is a target, [Config.Target]
// says.
func (c *Config) Expand(source, list string) ([]Pick, error) {
	x := &expansion{config: c, source: source, seen: map[Pick]bool{}, done: map[Pick]bool{}}
	if source != "" {
		if err := checkSource(source); err != nil {
			return nil, err
		}
	}
	for _, item := range strings.Split(list, ",") {
		if err := x.item(item); err != nil {
			return nil, err
		}
	}
	if x.sourced && x.plain {
		return nil, fmt.Errorf("%q has a source for some targets only: give it for each, or once for all as SOURCE LIST", list)
	}
	return x.picks, nil
}

// expansion is a list in the making.
type expansion struct {
	config         *Config
	source         string
	picks          []Pick
	seen           map[Pick]bool
	done           map[Pick]bool // groups, which are gone through once
	sourced, plain bool
}

func (x *expansion) item(item string) error {
	source, name, given := strings.Cut(item, "@")
	if !given || source == "" {
		x.plain = true
		source, name = x.source, item
	} else {
		x.sourced = true
		if x.source != "" {
			return fmt.Errorf("the source is given twice: %q and %q", x.source, source)
		}
		if err := checkSource(source); err != nil {
			return err
		}
	}
	return x.add(source, name, nil)
}

// add takes a target or what a group comes to. within are the groups that lead
// here.
func (x *expansion) add(source, name string, within []string) error {
	group, is := strings.CutPrefix(name, "@")
	if !is {
		return x.take(Pick{Source: source, Name: name})
	}
	members, err := x.config.members(group)
	if err != nil {
		return err
	}
	if err := checkNesting(group, within); err != nil || x.done[Pick{source, group}] {
		return err
	}
	within = append(slices.Clip(within), group)
	for _, member := range members {
		if err := x.add(source, member, within); err != nil {
			return err
		}
	}
	x.done[Pick{source, group}] = true
	return nil
}

func (x *expansion) take(p Pick) error {
	if err := checkTarget(p.Name); err != nil {
		return err
	}
	if x.seen[p] {
		return nil
	}
	if len(x.picks) == MaxTargets {
		return fmt.Errorf("the list comes to more than %d targets", MaxTargets)
	}
	x.seen[p] = true
	x.picks = append(x.picks, p)
	return nil
}

func (c *Config) members(group string) ([]string, error) {
	if group == AllGroup {
		if len(c.Targets) == 0 {
			return nil, fmt.Errorf("@%s is empty: there is no target in %s", AllGroup, c.where())
		}
		return c.Names(), nil
	}
	members, ok := c.Groups[group]
	if !ok {
		return nil, fmt.Errorf(`there is no group @%s in %s; add "groups": {"%s": ["TARGET"…]}`, group, c.where(), group)
	}
	return members, nil
}

// GroupNames returns the names of all groups, sorted, without the "@".
func (c *Config) GroupNames() []string {
	names := []string{AllGroup}
	for name := range c.Groups {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// checkNesting refuses a group that stands in itself, or too deep.
func checkNesting(group string, within []string) error {
	if slices.Contains(within, group) {
		return fmt.Errorf("the group @%s contains itself: @%s", group, strings.Join(append(slices.Clip(within), group), " has @"))
	}
	if len(within) >= maxGroupDepth {
		return fmt.Errorf("the group @%s stands in %d others, one in the other; at most %d are possible", group, len(within), maxGroupDepth)
	}
	return nil
}

// checkGroups reports every mistake of the groups, as far as one file shows it: a
// group of the user's may have those of the system's.
func (c *Config) checkGroups(f *config.File) (mistakes []error) {
	sound := map[string]bool{}
	for _, name := range c.GroupNames() {
		members, own := c.Groups[name]
		if !own {
			continue
		}
		at := config.Pointer("groups", name)
		if name == AllGroup || !made(name, lower+upper+digits+"._-", maxGroup) {
			mistakes = append(mistakes, f.Errorf(at, "%q cannot name a group: use letters, digits, '.', '_' and '-', and not %q, which is every target", name, AllGroup))
			continue
		}
		for i, member := range members {
			if err := checkMember(member); err != nil {
				mistakes = append(mistakes, f.Errorf(fmt.Sprintf("%s/%d", at, i), "%v", err))
			}
		}
		if err := c.checkLoop(name, nil, sound); err != nil {
			mistakes = append(mistakes, f.Errorf(at, "%v", err))
		}
	}
	return mistakes
}

func checkMember(member string) error {
	name := strings.TrimPrefix(member, "@")
	if strings.ContainsAny(name, "@, ") {
		return fmt.Errorf("%q cannot be in a group: name one target, host or @group, without a source", member)
	}
	if name == "" {
		return errors.New("a group has targets, hosts and @groups, and this names none")
	}
	return checkTarget(name)
}

// checkLoop follows a group into those that this file has, but for those that are
// sound.
func (c *Config) checkLoop(group string, within []string, sound map[string]bool) error {
	if err := checkNesting(group, within); err != nil || sound[group] {
		return err
	}
	within = append(slices.Clip(within), group)
	for _, member := range c.Groups[group] {
		if next, is := strings.CutPrefix(member, "@"); is {
			if err := c.checkLoop(next, within, sound); err != nil {
				return err
			}
		}
	}
	sound[group] = true
	return nil
}
