package sources

import (
	"errors"
	"strings"
	"testing"

	"shellagent/config"
)

func TestMistakesSayWhereAndHowToMend(t *testing.T) {
	_, k := newKey(t, "k")
	_, k2 := newKey(t, "k2")
	lines := map[string]string{"k": k, "k2": k2}
	source := func(members string) string {
		return `{"exec": {"user": "operator"}, "sources": {"s": {` + members + `}}}`
	}
	global := func(members string) string {
		return `{"exec": {"user": "operator"}, "sources": {"s": {}}, ` + members + `}`
	}
	tests := []struct{ name, text, want string }{
		{"source name", `{"exec": {"user": "operator"}, "sources": {"Debug": {}}}`, `1:53: "Debug" cannot name a source; use 1 to 64 of a-z 0-9 . _ -`},
		{"source name of dots", `{"exec": {"user": "operator"}, "sources": {"..": {}}}`, `".." cannot name a source`},
		{"source name with a slash", `{"exec": {"user": "operator"}, "sources": {"a/b": {}}}`, `1:51: "a/b" cannot name a source`},
		{"unknown user", `{"sources": {"s": {"exec": {"user": "operatr"}}}}`, `1:37: user "operatr": unknown to this host; create the user or correct the name`},
		{"unknown group", source(`"exec": {"group": "operatrs"}`), `group "operatrs": unknown to this host; create the group`},
		{"root without a user", `{"sources": {"s": {}}}`, `1:19: the source has no user; add "exec": {"user": "NAME"}, or "root" if that is meant`},
		{"key that is none", global(`"verifyKeys": ["ssh-ed25519 AAAA"]`), `not an OpenSSH public key`},
		{"key options", global(`"verifyKeys": ["no-pty $k!"]`), `options`},
		{"private key", global(`"verifyKeys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]`), `private`},
		{"empty key", global(`"verifyKeys": [""]`), `the key is empty; give a line`},
		{"entry of another kind", global(`"verifyKeys": [7]`), `a key entry is a string or an object; write`},
		{"unknown key of an entry", global(`"verifyKeys": [{"subjct": "a", "keys": []}]`), `unknown key "subjct"; did you mean "subject"?`},
		{"entry without keys", global(`"verifyKeys": [{"subject": "a"}]`), `the entry has no keys; add "keys"`},
		{"bad subject", global(`"verifyKeys": [{"subject": "a b", "keys": []}]`), `subject "a b" is not a name; use 1 to 64`},
		{"subject twice", global(`"verifyKeys": [{"subject": "a", "keys": []}, {"subject": "a", "keys": []}]`), `subject "a" has another entry at /verifyKeys/0; put all keys into one`},
		{"key twice", global(`"verifyKeys": ["$k!", "$k!"]`), `is listed twice for the source "s": at /verifyKeys/0 and at /verifyKeys/1; keep one`},
		{"key of the source and global", `{"exec": {"user": "operator"}, "verifyKeys": ["$k!"], "sources": {"s": {"verifyKeys": ["$k!"]}}}`, `listed twice for the source "s": at /sources/s/verifyKeys/0 and at /verifyKeys/0`},
		{"key of two subjects", `{"exec": {"user": "operator"}, "sources": {"s": {"verifyKeys": [{"subject": "a", "keys": ["$k!"]}]}, "t": {"verifyKeys": [{"subject": "b", "keys": ["$k!"]}]}}}`, `stands for "a" and for "b"; a key belongs to one`},
		{"key with and without subject", `{"exec": {"user": "operator"}, "sources": {"s": {"verifyKeys": ["$k!"]}, "t": {"verifyKeys": [{"subject": "b", "keys": ["$k!"]}]}}}`, `stands for no subject and for "b"`},
		{"unknown source of an entry", global(`"verifyKeys": [{"keys": [], "sources": []}, {"keys": ["$k!"], "sources": ["s", "x"]}]`), `there is no source "x"; there are: s`},
		{"sources in a source", source(`"verifyKeys": [{"keys": ["$k!"], "sources": ["s"]}]`), `an entry of a source is for that source; remove its "sources"`},
		{"address", global(`"verifyKeys": [{"keys": [], "from": ["10.0.0"]}]`), `"10.0.0" is not an address; write`},
		{"network with host bits", global(`"verifyKeys": [{"keys": [], "from": ["10.1.2.3/8"]}]`), `10.1.2.3/8 has bits beyond its length; write 10.0.0.0/8, or 10.1.2.3 for one address`},
		{"time", global(`"verifyKeys": [{"keys": [], "notAfter": "31.12.2026"}]`), `"31.12.2026" is not a time; write "2026-12-31"`},
		{"keys directory", global(`"verifyKeysDir": "/nonexistent"`), `make the directory or remove the key`},
		{"revoked key", global(`"revokedKeys": ["SHA256:abc"]`), `"SHA256:abc" is not an OpenSSH fingerprint; copy it whole`},
		{"revoked nonsense", global(`"revokedKeys": ["alice"]`), `"alice" names no key; give a thumbprint`},
		{"revoked file", global(`"revokedKeysFile": "/nonexistent"`), `no such file`},
		{"rule", global(`"jwtRule": "claim.sub == 1"`), `the rule does not compile: unknown name claim`},
		{"rule of another type", source(`"jwtRule": "source"`), `the rule does not compile`},
		{"rule with a loop in a loop", source(`"jwtRule": "all(claims.a, all(claims.b, # == 1))"`), `the rule loops within a loop`},
		{"rule with a range", source(`"jwtRule": "1 in 1..1000000"`), `the rule makes a range`},
		{"relative shell", source(`"shell": "bash"`), `shell "bash" is not an absolute path; write /bin/bash`},
		{"shell of another kind", source(`"shell": 7`), `neither a string nor a list`},
		{"destination", source(`"allow": {"localForward": ["db:5432", "db"]}`), `1:88: "db" has no port; write "db:443"`},
		{"no destinations", source(`"allow": {"localForward": []}`), `no destination is given, so nothing would be forwarded`},
		{"name to listen on", source(`"allow": {"remoteForward": ["web:80"]}`), `web is a name, and what is listened on is an address`},
		{"agentForward of another kind", source(`"allow": {"agentForward": "yes"}`), `agentForward`},
		{"record of another kind", source(`"record": "yes"`), `record is true, false or an object such as`},
		{"unknown key of record", source(`"record": {"inputs": true}`), `unknown key "inputs"; did you mean "input"?`},
		{"recipient", source(`"record": {"recipients": ["age1x"]}`), `"age1x" is not an age recipient; give the public key (age1…)`},
		{"sample of nothing", source(`"record": {"sample": 1}`), `sample is 1 bytes a second; use 4096 to`},
		{"relative folder of recordings", source(`"record": {"dir": "rec"}`), `dir "rec" is not an absolute path`},
		{"label", source(`"labels": {"a b": "x"}`), `"a b" cannot name a label`},
		{"label of both kinds", source(`"labels": {"a": "x"}, "labelClaims": ["a"]`), `"a" is one of labels, which a claim does not replace`},
		{"empty shell", source(`"shell": ""`), `the string is empty`},
		{"empty list as shell", source(`"shell": []`), `the list names no program`},
		{"pattern", source(`"commands": ["ls *.go"]`), `"*.go": * stands for a whole argument`},
		{"pattern of everything", source(`"commands": ["**"]`), `the program must be named`},
		{"pattern with ** inside", source(`"commands": [["ls", "**", "x"]]`), `** stands for all that is left; it must be last`},
		{"pattern with a metacharacter", source(`"commands": ["ls | wc"]`), `unquoted '|' has a meaning to a shell`},
		{"commands and forceCommand", source(`"commands": ["ls"], "forceCommand": "x"`), `keep one of the two`},
		{"acceptEnv of the loader", source(`"acceptEnv": ["LANG", "LD_*"]`), `LD_* is accepted from no client`},
		{"acceptEnv of PATH", source(`"acceptEnv": ["PATH"]`), `PATH is accepted from no client (the agent's own)`},
		{"acceptEnv that is no pattern", source(`"acceptEnv": ["A B"]`), `"A B" is not a pattern of variables`},
		{"env of the loader", source(`"exec": {"env": {"LD_PRELOAD": "/x.so"}}`), `LD_PRELOAD is set in no session`},
		{"env of the agent", `{"exec": {"user": "operator", "env": {"SSH_TTY": "x"}}}`, `SSH_TTY is the agent's to set`},
		{"env name", source(`"exec": {"env": {"A B": "x"}}`), `"A B" is not a variable's name`},
		{"unknown action", source(`"allow": {"exce": true}`), `unknown key "exce"; did you mean "exec"?`},
		{"an action that there is not", source(`"allow": {"x11Forward": true}`), `unknown key "x11Forward"; known here: agentForward, exec, localForward, remoteForward, sftp, shell`},
		{"allow of another kind", source(`"allow": ["exec"]`), `"allow" must be an object, not a list; write { } with its keys`},
		{"right of another kind", source(`"allow": {"exec": "yes"}`), `"exec" must be true or false, not a string`},
		{"sftp of another kind", source(`"allow": {"sftp": "ro"}`), `sftp is true, false or an object such as`},
		{"unknown key of sftp", source(`"allow": {"sftp": {"readonly": true}}`), `unknown key "readonly"; did you mean "readOnly"?`},
		{"sftp of nothing", source(`"allow": {"sftp": {"paths": []}}`), `no path is given, so sftp would serve nothing`},
		{"sftp of a relative path", source(`"allow": {"sftp": {"paths": ["srv"]}}`), `"srv" is not a plain absolute path; write a directory such as "/srv"`},
		{"sftp of a path with ..", source(`"allow": {"sftp": {"paths": ["/a", "/srv/../etc"]}}`), `"/srv/../etc" is not a plain absolute path`},
		{"sftp and forceCommand", source(`"forceCommand": "x", "allow": {"sftp": true}`), `forceCommand runs in place of whatever is asked for, so there is no sftp`},
		{"commands and a shell", source(`"commands": ["ls"], "allow": {"shell": true, "exec": true}`), `commands are all that may be run, so there is no shell`},
		{"commands without exec", source(`"commands": ["ls"], "allow": {}`), `commands are what exec may run, and allow denies it; add "exec": true`},
		{"setEnv", source(`"setEnv": {"A": "b"}`), `unknown key "setEnv"; variables are in "exec": {"env": {"NAME": "value"}}`},
		{"banner of another kind", source(`"banner": 7`), `a banner is a string or an object; write`},
		{"banner without a file", source(`"banner": {}`), `the banner names no file`},
		{"banner whose file is missing", source(`"banner": {"file": "/nonexistent/banner"}`), `no such file`},
		{"banner that is long", source(`"banner": "` + strings.Repeat("x", 16<<10+1) + `"`), `the banner has 16385 bytes; use at most 16384`},
		{"banner that grows on its way", source(`"banner": "` + strings.Repeat("<", 5000) + `"`), `the banner takes 30002 bytes as JSON`},
		{"banner that is no text", source(`"banner": "a\u0000"`), `the banner is not text in UTF-8`},
		{"workDir", source(`"exec": {"workDir": "tmp"}`), `workDir "tmp" is not an absolute path`},
		{"maxProcesses", source(`"maxProcesses": 0`), `maxProcesses is 0; use 1 to 4194304`},
		{"cover", source(`"cover": "yes"`), `cover is "yes"; use "on", "off" or "required"`},
		{"maxSessions", source(`"maxSessions": 0`), `maxSessions is 0; use 1 to 100000`},
		{"negative time", source(`"linger": "-1s"`), `linger is negative`},
		{"login is for later", source(`"login": true`), `unknown key "login"`},
		{"verify command", global(`"verifyCommands": [["verify"]]`), `named by its absolute path`},
		{"verify command without a user", global(`"verifyCommands": [["/bin/true"]]`), `the command has no user of its own`},
		{"verify command that is missing", global(`"verifyCommands": [{"command": ["/nonexistent"], "user": "alice"}]`), `no such file`},
		{"verify command of another kind", global(`"verifyCommands": ["/bin/true"]`), `a verify command is a list or an object`},
		{"verify command's network", global(`"verifyCommands": [{"command": ["/bin/true"], "user": "alice", "from": ["x"]}]`), `"x" is not an address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.text, lines, Options{newVerifier: noVerifier})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "agent.json:1:") {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one mistake:\n%v", err)
			}
		})
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	_, err := parse(t, `{
  "exec": {"user": "nobody-here"},
  "verifyKeys": ["garbage"],
  "sources": {
    "A": {},
    "b": {"shell": "sh", "maxSessions": -1}
  }
}`, nil, Options{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, place := range []string{"agent.json:2:20:", "agent.json:3:18:", "agent.json:5:10:", "agent.json:6:20:", "agent.json:6:41:"} {
		if !strings.Contains(err.Error(), place) {
			t.Errorf("%s is missing in\n%v", place, err)
		}
	}
	if n := strings.Count(err.Error(), "nobody-here"); n != 1 {
		t.Errorf("the global mistake is told %d times", n)
	}
}

func TestEveryMistakeHasAPointer(t *testing.T) {
	_, err := New(Config{Sources: map[string]Source{"X": {Shell: Program{Line: "x"}}}}, Options{Accounts: host()})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Fatalf("got %v", err)
	}
	for _, e := range joined.Unwrap() {
		var p config.PointerError
		if !errors.As(e, &p) || !strings.HasPrefix(p.Pointer(), "/sources/X") {
			t.Errorf("%v has no pointer", e)
		}
	}
}

func TestAnAgentThatIsNotRootRunsProgramsAsItself(t *testing.T) {
	k, line := newKey(t, "k")
	h := host()
	h.self = h.users["alice"]
	o := Options{Accounts: h, newVerifier: noVerifier}
	for _, text := range []string{
		`{"verifyKeys": ["$k!"], "sources": {"s": {}}}`,
		`{"verifyKeys": ["$k!"], "sources": {"s": {"exec": {"user": "alice", "group": "alice"}}}}`,
	} {
		p := mustParse(t, text, map[string]string{"k": line}, o)
		if g := mustDecide(t, p, ask(p, "s", k)); g.Credential.User != "alice" || g.Credential.UID != 1001 {
			t.Errorf("%+v", g.Credential)
		}
	}
	for text, want := range map[string]string{
		`{"sources": {"s": {"exec": {"user": "bob"}}}}`:                   `1:37: the agent runs as "alice" and can start programs as nobody else; remove the user "bob", or run the agent as root`,
		`{"sources": {"s": {"exec": {"user": "$subject"}}}}`:              `can start programs as nobody else; remove the user "$subject"`,
		`{"sources": {"s": {"exec": {"group": "adm"}}}}`:                  `can give no other; remove the group "adm"`,
		`{"verifyCommands": [{"command": ["/bin/true"], "user": "bob"}]}`: `can start programs as nobody else`,
	} {
		if _, err := parse(t, text, nil, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestAHostThatDoesNotAnswerIsNoMistake(t *testing.T) {
	h := host()
	h.fail = errors.New("directory server is away")
	p := mustParse(t, `{"sources": {"s": {"exec": {"user": "operator", "group": "adm"}}}}`, nil, Options{Accounts: h})
	if w := strings.Join(p.Warnings(), "\n"); !strings.Contains(w, "directory server is away") {
		t.Errorf("warnings: %s", w)
	}
}
