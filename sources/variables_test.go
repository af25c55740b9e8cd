package sources

import (
	"slices"
	"strings"
	"testing"

	"shellagent/shell"
)

func TestVariablesOfTheClient(t *testing.T) {
	tests := []struct {
		accept, name, value string
		taken               bool
	}{
		{"", "LANG", "C.UTF-8", true},
		{"", "LC_ALL", "C", true},
		{"", "NO_COLOR", "1", true},
		{"", "TZ", "UTC", false},
		{"", "EDITOR", "vi", false},
		{`"TZ", "GIT_PROTOCOL"`, "TZ", "UTC", true},
		{`"TZ", "GIT_PROTOCOL"`, "GIT_PROTOCOL", "version=2", true},
		{`"TZ"`, "LANG", "C", false},
		{"-", "LANG", "C", false},
		{`"MY_?"`, "MY_1", "x", true},
		{`"MY_?"`, "MY_12", "x", false},
		{`"*"`, "ANYTHING", "x", true},
		{`"*"`, "LC_ALL", strings.Repeat("x", (64<<10)+1), false},
		{`"*"`, "X", "() { :; }; id", false},
	}
	for _, refused := range []string{
		"LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "MALLOC_TRACE",
		"BASH_ENV", "ENV", "BASHOPTS", "SHELLOPTS", "IFS", "PS4", "PROMPT_COMMAND", "BASH_FUNC_ls", "CDPATH", "ZDOTDIR",
		"PYTHONSTARTUP", "PYTHONPATH", "PERL5OPT", "RUBYOPT", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS",
		"GIT_SSH_COMMAND", "GIT_EXEC_PATH", "LESSOPEN", "TERMINFO", "HOSTALIASES",
		"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "SSH_CONNECTION", "SSH_ORIGINAL_COMMAND", "SHELLAGENT_ORIGINAL_COMMAND", "SUDO_USER",
	} {
		tests = append(tests, struct {
			accept, name, value string
			taken               bool
		}{`"*"`, refused, "x", false})
	}
	for _, tt := range tests {
		members := `"acceptEnv": [` + tt.accept + `]`
		switch tt.accept {
		case "":
			members = ""
		case "-":
			members = `"acceptEnv": []`
		}
		p, key := one(t, members, nil)
		q := ask(p, "s", key)
		q.Open.Env = map[string]string{tt.name: tt.value}
		g := mustDecide(t, p, q)
		if got := slices.Contains(g.Env, tt.name+"="+tt.value); got != tt.taken {
			t.Errorf("acceptEnv %s: %s taken: %v", tt.accept, tt.name, got)
		}
	}
}

func TestWhichVariableWins(t *testing.T) {
	for name, value := range map[string]string{
		"FROM_AGENT": "1", "LD_PRELOAD": "/x.so", "NOTIFY_SOCKET": "/run/x", "SSH_AUTH_SOCK": "/x", "HOME": "/elsewhere",
		"LANG": "de", "PATH": "/agents/path", "CREDENTIALS_DIRECTORY": "/x", "XDG_RUNTIME_DIR": "/run/user/0", "TERM": "dumb",
	} {
		t.Setenv(name, value)
	}
	p, key := one(t, `"exec": {"envInherit": true, "env": {"LC_TIME": "config", "PATH": "/opt/bin"}}`, nil)
	q := ask(p, "s", key)
	q.Open.Env = map[string]string{"LC_TIME": "client", "LC_ALL": "client"}
	q.Open.Terminal = &shell.Terminal{Term: "xterm-256color"}
	env := mustDecide(t, p, q).Env
	for _, want := range []string{"FROM_AGENT=1", "LANG=de", "HOME=/home/operator", "LC_TIME=config", "LC_ALL=client", "PATH=/opt/bin", "TERM=xterm-256color"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing in %q", want, env)
		}
	}
	seen := map[string]bool{}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if seen[name] || slices.Contains([]string{"LD_PRELOAD", "NOTIFY_SOCKET", "SSH_AUTH_SOCK", "CREDENTIALS_DIRECTORY", "XDG_RUNTIME_DIR"}, name) {
			t.Errorf("%s must not be there, or not twice", v)
		}
		seen[name] = true
	}
	p, key = one(t, ``, nil)
	if env := mustDecide(t, p, ask(p, "s", key)).Env; slices.Contains(env, "FROM_AGENT=1") || slices.Contains(env, "TERM=dumb") {
		t.Errorf("inherited without being told: %q", env)
	}
}

func TestEnvOfTheSourceIsAddedToTheGlobal(t *testing.T) {
	key, line := newKey(t, "")
	p := mustParse(t, `{"exec": {"user": "operator", "env": {"A": "global", "B": "global"}, "envInherit": true, "workDir": "/g"},
		"verifyKeys": ["$k!"], "sources": {"s": {"exec": {"env": {"B": "source"}, "envInherit": false}}}}`, map[string]string{"k": line}, Options{})
	t.Setenv("FROM_AGENT", "1")
	g := mustDecide(t, p, ask(p, "s", key))
	if !slices.Contains(g.Env, "A=global") || !slices.Contains(g.Env, "B=source") || slices.Contains(g.Env, "FROM_AGENT=1") || g.Dir != "/g" {
		t.Errorf("%q in %s", g.Env, g.Dir)
	}
}

func TestWildcard(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"LC_*", "LC_", true}, {"LC_*", "LC_ALL", true}, {"LC_*", "XLC_ALL", false}, {"*", "", true}, {"?", "", false},
		{"*_X", "A_X_X", true}, {"*_X", "A_X_Y", false}, {"A*B*C", "AxxBxBxC", true}, {"A?C", "ABC", true}, {"", "A", false}, {"A", "A", true}, {"A", "AB", false},
	}
	for _, tt := range tests {
		if got := wildcard(tt.pattern, tt.name); got != tt.want {
			t.Errorf("wildcard(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

func FuzzWildcard(f *testing.F) {
	f.Add("LC_*", "LC_ALL")
	f.Add("*a*b?c*", "xaybzcq")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || len(name) > 200 {
			return
		}
		if !strings.ContainsAny(pattern, "*?") && wildcard(pattern, name) != (pattern == name) {
			t.Errorf("%q %q", pattern, name)
		}
		if wildcard(pattern, name) && !wildcard("*"+pattern, "x"+name) {
			t.Errorf("%q %q", pattern, name)
		}
	})
}
