package sources

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// loaders are variables that no session starts with, whoever asks: through
// each, the dynamic loader, the C library or a shell loads or runs something
// before the command that policy allowed gets to say anything. A name with * at
// its end stands for all that begin so. The list is the C library's for setuid
// programs (sysdeps/generic/unsecvars.h) and what shells read at their start.
var loaders = []string{
	"LD_*", "DYLD_*", "LDR_*", "_RLD*", "LIBPATH", "SHLIB_PATH",
	"GLIBC_TUNABLES", "GCONV_PATH", "GETCONF_DIR", "LOCPATH", "NLSPATH", "PATH_LOCALE", "MALLOC_*",
	"BASH_ENV", "BASH_FUNC_*", "ENV", "BASHOPTS", "SHELLOPTS", "IFS", "PS4",
}

// influence are variables that no client may set whatever acceptEnv says, though
// an administrator may: they make a program that is common behind commands or
// forceCommand run or load other code, or answer otherwise. The list began as
// sudo's (plugins/sudoers/env.c, initial_badenv_table).
var influence = []string{
	// Names are resolved, times and text converted by other files.
	"HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_*", "NIS_PATH", "KRB5*", "TZDIR",
	// Shells.
	"BASH_*", "PROMPT_COMMAND", "CDPATH", "GLOBIGNORE", "FPATH", "ZDOTDIR", "NULLCMD", "READNULLCMD", "TMPPREFIX",
	// Interpreters and their libraries; PYTHONSTARTUP and PERL5OPT among them.
	"PYTHON*", "PERL*", "RUBY*", "GEM_*", "NODE_*", "LUA_*", "PHPRC", "PHP_INI_SCAN_DIR",
	"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "OPENSSL_*", "SSL_CERT_*", "SSLKEYLOGFILE",
	// Terminal descriptions are programs of a kind.
	"TERMINFO*", "TERMCAP", "TERMPATH",
	// Tools that start others.
	"GIT_*", "RSYNC_*", "SVN_SSH", "LESSOPEN", "LESSCLOSE", "SYSTEMD_*",
}

// harmless are exceptions that tools rely on.
var harmless = []string{"GIT_PROTOCOL"}

// agentsOwn are set by the agent, or tell what the agent alone may say: a client
// that could set PATH would choose the program behind a name in commands.
var agentsOwn = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "MAIL", "TERM", "PWD", "OLDPWD",
	"SSH_*", "SHELLAGENT_*", "SUDO_*",
}

// servicesOwn are what systemd or a login gave the agent for itself. envInherit
// does not pass them on: some name its sockets, credentials and bus.
var servicesOwn = []string{
	"NOTIFY_SOCKET", "LISTEN_*", "WATCHDOG_*", "MAINPID", "MANAGERPID", "INVOCATION_ID", "JOURNAL_STREAM",
	"CREDENTIALS_DIRECTORY", "*_DIRECTORY", "MEMORY_PRESSURE_*", "DBUS_*", "XDG_*", "DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "TMUX*",
}

var variableForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`) })

// refusedFromClient says why a client may not set a variable, or "".
func refusedFromClient(name string) string {
	switch {
	case !variableForm().MatchString(name):
		return "not a variable's name"
	case dangerous(name):
		return "could run or load code"
	case matchesAny(agentsOwn, name):
		return "the agent's own"
	}
	return ""
}

func dangerous(name string) bool {
	return (matchesAny(loaders, name) || matchesAny(influence, name)) && !slices.Contains(harmless, name)
}

// checkVariable judges a variable of exec.env.
func checkVariable(name, value string) error {
	switch {
	case !variableForm().MatchString(name):
		return fmt.Errorf("%q is not a variable's name; use letters, digits and _", name)
	case matchesAny(loaders, name):
		return fmt.Errorf("%s is set in no session, since it loads or runs code before the command; set it in a script that shell or forceCommand names", name)
	case strings.HasPrefix(name, "SSH_"), strings.HasPrefix(name, "SHELLAGENT_"):
		return fmt.Errorf("%s is the agent's to set; choose another name", name)
	case strings.IndexByte(value, 0) >= 0:
		return errors.New("a NUL character cannot be in a variable; remove it")
	}
	return nil
}

const patternBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_*?"

// checkAcceptPattern judges an element of acceptEnv. A pattern that could match
// only what is never accepted is a mistake worth telling.
func checkAcceptPattern(p string) error {
	if p == "" || strings.Trim(p, patternBytes) != "" {
		return fmt.Errorf("%q is not a pattern of variables; use letters, digits, _ and the wildcards * and ?", p)
	}
	literal, wild, _ := strings.Cut(p, "*")
	if wild != "" || strings.HasSuffix(p, "*") || strings.Contains(p, "?") {
		// Whatever begins like this is refused: LD_* and longer.
		exception := slices.ContainsFunc(harmless, func(name string) bool { return strings.HasPrefix(name, literal) })
		if literal != "" && !strings.Contains(literal, "?") && dangerous(literal) && !exception {
			return fmt.Errorf("%s is accepted from no client (could run or load code); remove it", p)
		}
		return nil
	}
	if why := refusedFromClient(p); why != "" {
		return fmt.Errorf("%s is accepted from no client (%s); set it in exec.env if it has to be", p, why)
	}
	return nil
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if wildcard(p, name) {
			return true
		}
	}
	return false
}

// wildcard matches as ssh_config(5) PATTERNS does: * any characters, ? one.
func wildcard(pattern, name string) bool {
	star, mark := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			// The last star takes one character more.
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
