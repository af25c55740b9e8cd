package cli

import (
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"shellagent/shell"
	"shellagent/targets"
)

// place is a path, on this machine or on a target.
type place struct {
	address string // as it was given; "" is this machine
	source  string
	target  string
	path    string
}

func (p place) remote() bool { return p.address != "" }

// shown is a path of the place's side, for people.
func (p place) shown(path string) string {
	if !p.remote() {
		return path
	}
	return p.address + ":" + path
}

// copyPlan is what is to be copied, by the places that it comes from.
type copyPlan struct {
	from []origin
	to   place
	// into says that the destination has to be a directory.
	into bool
}

// origin are paths of one place.
type origin struct {
	place
	paths []string
}

// planCopy reads the command line.
func planCopy(args []string) (copyPlan, error) {
	if len(args) < 2 {
		return copyPlan{}, misuse("what is to be copied where? cp SOURCE… DESTINATION, such as notes.txt myhost:")
	}
	if len(args) > shell.MaxArgv {
		return copyPlan{}, misuse("%d sources, at most %d are possible; copy the directory that they are in", len(args)-1, shell.MaxArgv)
	}
	var plan copyPlan
	for i, arg := range args {
		p, err := readPlace(arg)
		if err != nil {
			return plan, err
		}
		if i == len(args)-1 {
			plan.to = p
			break
		}
		if arg == "" {
			return plan, misuse("a source is empty")
		}
		if last := len(plan.from) - 1; last >= 0 && plan.from[last].address == p.address {
			plan.from[last].paths = append(plan.from[last].paths, p.path)
			continue
		}
		plan.from = append(plan.from, origin{p, []string{p.path}})
	}
	plan.into = len(args) > 2
	for _, o := range plan.from {
		if !o.remote() && !plan.to.remote() {
			return plan, misuse("%s and %s are both on this machine: a target's path is TARGET:PATH; cp copies here", o.paths[0], args[len(args)-1])
		}
	}
	return plan, nil
}

// readPlace reads [SOURCE@]TARGET:PATH as scp does: a colon before any slash, and
// not in brackets, makes it remote. A target that is a URL ends at the first colon
// behind its host's slash.
func readPlace(arg string) (place, error) {
	at := placeColon(arg)
	if at <= 0 {
		return place{path: arg}, nil
	}
	p := place{address: arg[:at], path: arg[at+1:]}
	var err error
	name := p.address
	if source, rest, found := strings.Cut(name, "@"); found && strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") {
		name = source + "@" + strings.Trim(rest, "[]")
	} else if strings.HasPrefix(name, "[") {
		name = strings.Trim(name, "[]")
	}
	if p.source, p.target, err = targets.SplitAddress(name); err != nil {
		return p, &usageError{err.Error() + "; a file here whose name has a colon is written ./" + clean(arg)}
	}
	return p, nil
}

func placeColon(arg string) int {
	_, rest, _ := strings.Cut(arg, "@")
	if rest == "" {
		rest = arg
	}
	start := len(arg) - len(rest)
	switch {
	case strings.HasPrefix(rest, "https://"):
		host := strings.IndexByte(rest[len("https://"):], '/')
		if host < 0 {
			return -1
		}
		host += len("https://")
		if colon := strings.IndexByte(rest[host:], ':'); colon >= 0 {
			return start + host + colon
		}
		return -1
	case strings.HasPrefix(rest, "["):
		if end := strings.Index(rest, "]:"); end > 0 {
			return start + end + 1
		}
		return -1
	}
	colon := strings.IndexByte(arg, ':')
	if slash := strings.IndexByte(arg, '/'); slash >= 0 && slash < colon {
		return -1
	}
	if runtime.GOOS == "windows" && colon == 1 {
		return -1 // a drive
	}
	return colon
}

// completeCopy offers targets, with the colon behind them, and files.
func completeCopy(s *surroundings, r *reach) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
		if err != nil || strings.ContainsAny(typed, ":/") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		var words []string
		source, _, found := strings.Cut(typed, "@")
		for _, name := range config.Names() {
			if found {
				name = source + "@" + name
			}
			words = append(words, name+":")
		}
		fit := startingWith(words, typed)
		if len(fit) == 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return fit, cobra.ShellCompDirectiveNoSpace
	}
}
