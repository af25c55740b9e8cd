package sources

import (
	"maps"
	"os"
	"slices"
	"strings"

	"shellagent/account"
	"shellagent/shell"
)

// defaultAcceptEnv are the patterns of a source without acceptEnv: Debian's
// choice for sshd. They say how text looks and sorts, nothing more.
var defaultAcceptEnv = []string{"LANG", "LC_*", "COLORTERM", "NO_COLOR"}

const (
	maxEnvValue = 64 << 10 // bytes of a client's variable; the kernel takes 128 KiB
	// What login(1) and sshd give on Debian (login.defs ENV_PATH, ENV_SUPATH).
	userPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
	rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// accepted returns the client's variables that the source takes, and the names
// of the others, which are dropped as sshd drops them.
func (s *source) accepted(offered map[string]string) (taken map[string]string, dropped []string) {
	taken = make(map[string]string, len(offered))
	for name, value := range offered {
		ok := refusedFromClient(name) == "" && matchesAny(s.acceptEnv, name) &&
			len(value) <= maxEnvValue && strings.IndexByte(value, 0) < 0 && !strings.HasPrefix(value, "()")
		if !ok {
			dropped = append(dropped, name)
			continue
		}
		taken[name] = value
	}
	slices.Sort(dropped)
	return taken, dropped
}

// environment returns the variables of a program, sorted. What comes later in
// it wins: the agent's own environment, what login sets, the client's, the
// configured ones, the terminal's type.
func (s *source) environment(u *account.User, shellPath string, taken map[string]string, open shell.OpenRequest) []string {
	vars := make(map[string]string, 16+len(s.env)+len(s.inherited))
	vars["PATH"] = userPath
	if u.UID == 0 {
		vars["PATH"] = rootPath
	}
	maps.Copy(vars, s.inherited)
	vars["HOME"], vars["USER"], vars["LOGNAME"], vars["SHELL"] = u.Home, u.Name, u.Name, shellPath
	maps.Copy(vars, taken)
	maps.Copy(vars, s.env)
	if open.Terminal != nil && open.Terminal.Term != "" {
		vars["TERM"] = open.Terminal.Term
	}
	list := make([]string, 0, len(vars))
	for name, value := range vars {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// inheritable returns what envInherit passes on of the agent's environment.
func inheritable() map[string]string {
	kept := make(map[string]string)
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		own := name != "PATH" && matchesAny(agentsOwn, name)
		if variableForm().MatchString(name) && !own && !dangerous(name) && !matchesAny(servicesOwn, name) {
			kept[name] = value
		}
	}
	return kept
}
