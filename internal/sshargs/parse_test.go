package sshargs

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// tools are the command lines of testdata/tools.txt.
func tools(t testing.TB) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/tools.txt")
	if err != nil {
		t.Fatal(err)
	}
	all, name := map[string][]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if arg, is := strings.CutPrefix(line, "\t"); is {
			all[name] = append(all[name], arg)
		} else if line != "" && line[0] != '#' {
			name = line
		}
	}
	return all
}

// What each tool means, in settings; "host" and "words" are not settings.
func TestTools(t *testing.T) {
	want := map[string]map[string]string{
		"scp":          {"host": "h", "words": "sftp", "user": "u", "sessiontype": "subsystem", "requesttty": "no", "clearallforwardings": "yes", "remotecommand": "none", "forwardx11": "no"},
		"scp -O":       {"host": "h", "words": "scp -r -t /tmp/x", "user": "u", "sessiontype": ""},
		"sftp":         {"host": "h", "words": "sftp", "user": "u", "sessiontype": "subsystem", "batchmode": "yes", "forwardx11": "no", "forwardagent": "no"},
		"git":          {"host": "h", "words": "git-upload-pack 'repo'", "user": "u", "sendenv": "GIT_PROTOCOL", "port": ""},
		"git, GIT_SSH": {"host": "h", "words": "git-upload-pack '/repo'", "user": "u", "port": "99"},
		"git, probe":   {"host": "h", "words": "", "user": "u", "port": "99"},
		"sshfs":        {"host": "h", "words": "sftp", "user": "u", "sessiontype": "subsystem", "forwardagent": "no"},
		"borg":         {"host": "h", "words": "borg serve", "user": "u"},
		"restic":       {"host": "h", "words": "sftp", "user": "u", "sessiontype": "subsystem"},
		"ansible": {
			"host": "h", "words": "/bin/sh -c 'echo ~u && sleep 0'", "user": "u", "compression": "yes", "controlmaster": "auto",
			"controlpersist": "60", "controlpath": "~/.ansible/cp/7015673912", "connecttimeout": "10", "passwordauthentication": "no",
		},
		"mosh": {
			"host": "h", "words": "mosh-server 'new' '-c' '256'", "user": "u", "requesttty": "force", "stdinnull": "yes", "controlpath": "none",
			"proxycommand": "'/usr/bin/mosh' '--family=prefer-inet' --fake-proxy -- %h %p",
		},
		"mosh --experimental-remote-ip=remote": {
			"host": "h", "user": "u", "requesttty": "force", "stdinnull": "yes",
			"words": `sh -c '[ -n "$SSH_CONNECTION" ] && printf "\nMOSH SSH_CONNECTION %s\n" "$SSH_CONNECTION"' ; mosh-server 'new'`,
		},
		"rsync":  {"host": "h", "words": "rsync --server -logDtpre.iLsfxCIvu . /srv/", "user": "u"},
		"docker": {"host": "h", "words": "docker system dial-stdio", "user": "u", "port": "99", "connecttimeout": "30", "requesttty": "no"},
		"vscode": {"host": "h", "words": "bash", "requesttty": "no", "dynamicforward": "53247"},
	}
	for name, args := range tools(t) {
		c, err := Parse(args)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want[name] == nil {
			t.Errorf("%s: nobody says what it means", name)
		}
		for keyword, value := range want[name] {
			got := c.Settings.Get(keyword)
			switch keyword {
			case "host":
				got = c.Host
			case "words":
				got = strings.Join(c.Words, " ")
			}
			if got != value {
				t.Errorf("%s: %s is %q, want %q", name, keyword, got, value)
			}
		}
		again(t, c)
	}
}

// again checks that what is printed of a command parses to the same.
func again(t *testing.T, c *Command) {
	t.Helper()
	back, err := Parse(c.Argv())
	if err != nil || !reflect.DeepEqual(c, back) {
		t.Errorf("%v\nparses to %+v (%v), printed of %+v", c, back, err, c)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want Command
	}{
		{"bundled", []string{"-tnvp22", "h"}, Command{Host: "h", Settings: Settings{
			{"requesttty", []string{"yes"}}, {"stdinnull", []string{"yes"}}, {"loglevel", []string{"DEBUG"}}, {"port", []string{"22"}},
		}}},
		{"after the host", []string{"h", "-p", "22", "cmd", "-x"}, Command{Host: "h", Words: []string{"cmd", "-x"}, Settings: Settings{{"port", []string{"22"}}}}},
		{"dashes before the host end options for good", []string{"--", "h", "-p", "22"}, Command{Host: "h", Words: []string{"-p", "22"}}},
		{"dashes behind the host", []string{"h", "--", "-p", "22"}, Command{Host: "h", Words: []string{"-p", "22"}}},
		{"a lone dash is a word", []string{"h", "-", "-p"}, Command{Host: "h", Words: []string{"-", "-p"}}},
		{"empty words are kept", []string{"h", "a", ""}, Command{Host: "h", Words: []string{"a", ""}}},
		{"the first user counts", []string{"-l", "a", "b@h"}, Command{Host: "h", Settings: Settings{{"user", []string{"a"}}}}},
		{"the last @ parts", []string{"a@b@h"}, Command{Host: "h", Settings: Settings{{"user", []string{"a@b"}}}}},
		{"uri", []string{"ssh://u@h:99/"}, Command{Host: "h", Settings: Settings{{"user", []string{"u"}}, {"port", []string{"99"}}}}},
		{"uri of IPv6", []string{"ssh://[::1]:99"}, Command{Host: "::1", Settings: Settings{{"port", []string{"99"}}}}},
		{"uri with escapes", []string{"ssh://a%40b;x=y@h"}, Command{Host: "h", Settings: Settings{{"user", []string{"a@b"}}}}},
		{"-p before the uri's", []string{"-p", "1", "ssh://h:2"}, Command{Host: "h", Settings: Settings{{"port", []string{"1"}}}}},
		{"forms of -o", []string{"-oPort 1", "-o", "User=u", "-o", " hostname = x ", "-oIdentityFile=a b", "h"}, Command{Host: "h", Settings: Settings{
			{"port", []string{"1"}}, {"user", []string{"u"}}, {"hostname", []string{"x"}}, {"identityfile", []string{"a", "b"}},
		}}},
		{"quotes", []string{`-oUser="a b"`, `-oSetEnv=A="x y" 'B=\'z'"` + `"`, "h"}, Command{Host: "h", Settings: Settings{
			{"user", []string{"a b"}}, {"setenv", []string{"A=x y", `B='z`}},
		}}},
		{"comments", []string{"-oUser=a # b", "-o", "# all of it", "h"}, Command{Host: "h", Settings: Settings{{"user", []string{"a"}}}}},
		{"the first line counts", []string{"-oPort=1", "-oPort=2", "-oSetEnv=A=1", "-oSetEnv=B=2", "h"}, Command{Host: "h", Settings: Settings{
			{"port", []string{"1"}}, {"setenv", []string{"A=1"}},
		}}},
		{"all lines count", []string{"-oSendEnv=A B", "-oSendEnv=C", "-i", "k", "-oIdentityFile=l", "h"}, Command{Host: "h", Settings: Settings{
			{"sendenv", []string{"A", "B", "C"}}, {"identityfile", []string{"k", "l"}},
		}}},
		{"unknown keyword", []string{"-oNoSuchThing=a  b", "h"}, Command{Host: "h", Settings: Settings{{"nosuchthing", []string{"a  b"}}}}},
		{"forwards", []string{"-L", "1:h:2", "-oLocalForward=3 h:4", "-R5:h:6", "-oDynamicForward=7", "h"}, Command{Host: "h", Settings: Settings{
			{"localforward", []string{"1:h:2", "3:h:4"}}, {"remoteforward", []string{"5:h:6"}}, {"dynamicforward", []string{"7"}},
		}}},
		{"version stops", []string{"-v", "-V", "-Z"}, Command{Version: true, Settings: Settings{{"loglevel", []string{"DEBUG"}}}}},
		{"version behind the host", []string{"h", "-V"}, Command{Version: true}},
		{"query", []string{"-Q", "cipher"}, Command{Query: "cipher"}},
		{"modes", []string{"-Gy", "-O", "check", "-E", "log", "-F", "none", "-w", "any", "h"}, Command{
			Print: true, Syslog: true, Control: "check", LogFile: "log", ConfigFile: "none", Tunnel: "any", Host: "h",
		}},
		{"stdio", []string{"-W", "a:1", "h"}, Command{Stdio: "a:1", Host: "h", Settings: Settings{{"requesttty", []string{"no"}}, {"sessiontype", []string{"none"}}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.args)
			if err != nil || !reflect.DeepEqual(*got, c.want) {
				t.Fatalf("%q: %+v (%v)\nwant %+v", c.args, got, err, c.want)
			}
			again(t, got)
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args  []string
		text  string
		usage bool
	}{
		{nil, "", true},
		{[]string{"-o", "ControlPersist"}, `no argument after keyword "controlpersist"`, false},
		{[]string{"-o", "ControlPersist="}, `no argument after keyword`, false},
		{[]string{"-o", "NoSuchThing", "h"}, `no argument after keyword`, false},
		{[]string{"-o", `User="u`, "h"}, "invalid quotes", false},
		{[]string{"-o", `User=""`, "h"}, "missing argument", false},
		{[]string{"-o", "Port=1 2", "h"}, "extra arguments", false},
		{[]string{"-o", "BatchMode=maybe", "h"}, "unsupported option", false},
		{[]string{"-o", "ConnectTimeout=1y", "h"}, "invalid time", false},
		{[]string{"-p", "0", "h"}, "Bad port '0'", false},
		{[]string{"-p", "65536", "h"}, "Bad port", false},
		{[]string{"-p"}, "option requires an argument -- p", true},
		{[]string{"-h"}, "unknown option -- h", true},
		{[]string{"--help"}, "unknown option -- -", true},
		{[]string{"-1", "h"}, "v.1", false},
		{[]string{"-N", "-s", "h", "sftp"}, "Cannot specify -s", false},
		{[]string{"-s", "-N", "h", "sftp"}, "Cannot specify -N", false},
		{[]string{"-s", "h"}, "subsystem", true},
		{[]string{"-O", "mend", "h"}, "Invalid multiplex command", false},
		{[]string{"-J", "a", "-J", "b", "h"}, "single -J", false},
		{[]string{"-e", "ab", "h"}, "Bad escape character", false},
		{[]string{"-oRemoteCommand=a", "h", "b"}, "Cannot execute", false},
		{[]string{"@h"}, "", true},
		{[]string{"ssh://h:0"}, "", true},
		{[]string{"ssh://h/path"}, "", true},
		{[]string{"--", "-oProxyCommand=x"}, "hostname contains invalid", false},
		{[]string{"h\x00"}, "zero byte", false},
	} {
		_, err := Parse(c.args)
		var mistake *Error
		if !errors.As(err, &mistake) || !strings.Contains(mistake.Text, c.text) || mistake.Usage != c.usage {
			t.Errorf("%q: %#v, want %q, usage %v", c.args, err, c.text, c.usage)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, args := range tools(f) {
		f.Add(strings.Join(args, "\x00"))
	}
	for _, seed := range []string{
		"-o\x00SetEnv=A=\"x y\" 'B=z'\x00-e^c\x00ssh://a%40b@[::1]:22/\x00-t\x00-t\x00--\x00-x", "-L1:a:2\x00-oRemoteForward=3 a:4\x00h",
		"-oProxyCommand= =x\x00h\x00", "-vvvq\x00-O\x00check\x00-S\x00p\x00h", "-W\x00a:1\x00h", "-oX=\"\x00h",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := Parse(strings.Split(line, "\x00"))
		if err == nil {
			again(t, c)
			_ = c.String()
		}
	})
}
