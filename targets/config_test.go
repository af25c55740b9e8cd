package targets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadTargets(t *testing.T) {
	path := write(t, "client.json", `{
		// a comment, and trailing commas
		"signingKeyPath": "keys/me",
		"targets": {
			"web": {"hostname": "web.example", "port": 5000, "pathPrefix": "/agent", "source": "debug", "caPath": "ca.pem",},
			"db1": {"jump": "ops@web,bastion:4001"},
		},
	}`)
	c, err := Load(Paths{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(path), "keys", "me"); c.SigningKeyPath != want {
		t.Errorf("signingKeyPath %s, want %s", c.SigningKeyPath, want)
	}
	tests := []struct {
		name string
		port int
		base string
	}{
		{"web", 0, "https://web.example:5000/agent"},
		{"web", 6000, "https://web.example:6000/agent"},
		{"db1", 0, "https://db1:4000"},
		{"elsewhere:7", 0, "https://elsewhere:7"},
	}
	for _, tt := range tests {
		target, err := c.Target(tt.name, tt.port)
		if err != nil || target.BaseURL.String() != tt.base {
			t.Errorf("%s: %v %v, want %s", tt.name, target.BaseURL, err, tt.base)
		}
	}
	web, _ := c.Target("web", 0)
	if s, err := web.PickSource(""); s != "debug" || err != nil {
		t.Errorf("the target's own source: %q %v", s, err)
	}
	if s, err := web.PickSource("other"); s != "other" || err != nil {
		t.Errorf("a given source: %q %v", s, err)
	}
	db, _ := c.Target("db1", 0)
	if db.Jump != "ops@web,bastion:4001" || web.Jump != "" {
		t.Errorf("the ways: %q, %q", db.Jump, web.Jump)
	}
	if _, err := db.PickSource(""); err == nil || !strings.Contains(err.Error(), "SOURCE@db1") {
		t.Errorf("no source: %v", err)
	}
	if _, err := c.Target("no such host", 0); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("neither target nor host: %v", err)
	}
}

func TestLoadAcceptsASingleFileOfBothParts(t *testing.T) {
	path := write(t, "both.json", `{
"sources": {
"debug": {
"exec": {
"group": "operator",
"user": "operator",
},
"shell": "/bin/bash",
},
},
"verifyKeys": ["x"], "verifyKeysDir": "k", "verifyCommands": [], "jwtRule": "true", "revokedKeys": [],
"exec": {}, "listen": {}, "stateDir": "/x", "metrics": {}, "log": {},
"audit": {}, "reloadOnChange": false, "share": "1m",
"targets": {"myhost": {"source": "debug"}}, "groups": {"all-of-it": ["myhost"]},
}`)
	c, err := Load(Paths{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Has("myhost") {
		t.Error("myhost is missing")
	}
}

func TestLoadUserOverSystem(t *testing.T) {
	system := write(t, "client.json", `{"signingKeyPath": "/etc/key", "targets": {"a": {"port": 1, "source": "x"}, "b": {"port": 2}}}`)
	user := write(t, "config.json", `{"signingCommands": [{"command": ["sign"], "key": "`+testKeys[0]+`"}], "targets": {"a": {"port": 3}}}`)
	c, err := Load(Paths{User: user, System: system}, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.SigningKeyPath != "" || len(c.SigningCommands) != 1 {
		t.Errorf("the user's choice of key must replace the system's: %q %v", c.SigningKeyPath, c.SigningCommands)
	}
	if a := c.Targets["a"]; a.Port != 3 || a.Source != "" {
		t.Errorf("a: %+v, want the user's alone", a)
	}
	if b := c.Targets["b"]; b.Port != 2 {
		t.Errorf("b: %+v", b)
	}
	if _, err := Load(Paths{User: filepath.Join(t.TempDir(), "missing")}, ""); err != nil {
		t.Errorf("missing files: %v", err)
	}
	if _, err := Load(Paths{}, filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a named file that is missing must be an error")
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"unknown key", "{\n \"target\": {}\n}", "2:2"},
		{"source", "{\"targets\": {\n\"a\": {\"source\": \"A B\"}}}", "2:17"},
		{"port", "{\"targets\": {\n\"a\": {\"port\": 70000}}}", "2:15"},
		{"prefix", "{\"targets\": {\n\"a\": {\"pathPrefix\": \"/a b\"}}}", "2:21"},
		{"hostname", "{\"targets\": {\n\"a\": {\"hostname\": \"a b\"}}}", "2:19"},
		{"fingerprint", "{\"targets\": {\n\"a\": {\"fingerprint\": \"x\"}}}", "2:22"},
		{"name", "{\"targets\": {\n\"a@b\": {}}}", "2:8"},
		{"both ways to sign", "{\"signingKeyPath\": \"k\",\n\"signingCommands\": [{\"command\": [\"x\"], \"key\": \"k\"}]}", "2:20"},
		{"no command", "{\"signingCommands\": [\n{\"key\": \"k\"}]}", "2:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "client.json", tt.content)
			_, err := Load(Paths{}, path)
			if err == nil || !strings.HasPrefix(err.Error(), path+":"+tt.want+": ") {
				t.Errorf("error %v, want %s:%s: …", err, path, tt.want)
			}
		})
	}
}

func TestLoadRefusesAFileOthersCanWrite(t *testing.T) {
	path := write(t, "client.json", `{}`)
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Paths{}, path); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("error %v, want one that says chmod", err)
	}
}

func TestDefaultPaths(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	env := map[string]string{}
	p := DefaultPaths(func(k string) string { return env[k] })
	if p.User != "/home/me/.config/shellagent/config.json" || p.KnownHosts() != "/home/me/.local/state/shellagent/known_hosts" {
		t.Errorf("without XDG: %+v", p)
	}
	env["XDG_CONFIG_HOME"], env["XDG_STATE_HOME"] = "/c", "relative"
	p = DefaultPaths(func(k string) string { return env[k] })
	if p.User != "/c/shellagent/config.json" || p.State != "/home/me/.local/state/shellagent" {
		t.Errorf("with XDG: %+v", p)
	}
}
