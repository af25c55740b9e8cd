package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shellagent/jwtauth"
)

// bench is where setups are tried out.
type bench struct {
	t      *testing.T
	dir    string
	config string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Setenv("SUDO_USER", "")
	dir := t.TempDir()
	return &bench{t: t, dir: dir, config: filepath.Join(dir, "etc", "agent.json")}
}

// key makes somebody's public key.
func (b *bench) key(name string) (path, line string) {
	b.t.Helper()
	k, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		b.t.Fatal(err)
	}
	line, path = k.PublicKey().AuthorizedKey(name), filepath.Join(b.dir, name+".pub")
	b.write(path, line+"\n")
	return path, line
}

func (b *bench) write(path, text string) {
	b.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		b.t.Fatal(err)
	}
}

// run is "agent setup" with an input that is no file.
func (b *bench) run(input string, args ...string) (stdout, stderr string, err error) {
	cmd := setupCommand()
	var out, errOut bytes.Buffer
	cmd.SetArgs(append([]string{"-c", b.config}, args...))
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(b.t.Context())
	return out.String(), errOut.String(), err
}

// files are those below the directory, with their texts.
func (b *bench) files() map[string]string {
	b.t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var text []byte
			text, err = os.ReadFile(path)
			all[path] = string(text)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bench) me(args ...string) []string {
	return append([]string{"--user", userName(b.t)}, args...)
}

func TestSetupOfAFirstHost(t *testing.T) {
	b := newBench(t)
	alice, line := b.key("alice@laptop")
	before := b.files()

	dry, note, err := b.run("", b.me("--key", alice, "--shell", "/bin/sh", "--listen", "127.0.0.1:4001", "--dry-run")...)
	if err != nil || !strings.Contains(note, "would write "+b.config) || len(b.files()) != len(before) {
		t.Fatalf("dry run: %v: %s", err, note)
	}
	out, note, err := b.run("", b.me("--key", alice, "--shell", "/bin/sh", "--listen", "127.0.0.1:4001")...)
	if err != nil {
		t.Fatal(err)
	}
	files := b.files()
	if files[b.config] != dry || !strings.Contains(dry, line) {
		t.Errorf("wrote %s, said %s", files[b.config], dry)
	}
	l, err := load(b.config)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := published(t, l.StateDir)
	for _, want := range []string{
		"host key  " + fingerprint, "here      agent listen -c " + b.config,
		"client    agent shell --fingerprint " + fingerprint + " -p 4001 debug 127.0.0.1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if !strings.Contains(note, "alice@laptop (") || !strings.Contains(note, "may open debug as "+userName(t)) {
		t.Errorf("%s", note)
	}

	// Again, and nothing happens.
	again, note, err := b.run("", b.me("--key", alice)...)
	if err != nil || again != out || !strings.Contains(note, "nothing to do") {
		t.Errorf("again: %v: %s%s", err, again, note)
	}
	if now := b.files(); len(now) != len(files) || now[b.config] != files[b.config] {
		t.Errorf("changed: %v", now)
	}
}

func TestSetupBesideAConfiguration(t *testing.T) {
	b := newBench(t)
	alice, aliceLine := b.key("alice")
	bob, bobLine := b.key("bob")
	carol, carolLine := b.key("carol")
	own := `// Mine.
{
  "verifyKeys": ["` + aliceLine + `", {"subject": "bob", "keys": ["` + bobLine + `"], "sources": ["mine"]}],
  "exec": {"user": "` + userName(t) + `"}, "stateDir": "state", "sources": {"mine": {"shell": "/bin/sh"}},
}`
	b.write(b.config, own)
	out, _, err := b.run("", b.me("--key", alice, "--key", bob, "--key", carol, "--json")...)
	if err != nil {
		t.Fatal(err)
	}
	var made madeSetup
	path := filepath.Join(b.dir, "etc", sourcesDir, "debug.json")
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made.Wrote) != 1 || made.Wrote[0] != path || len(made.Keys) != 3 || made.Running || made.Host == nil {
		t.Errorf("%v: %s", err, out)
	}
	files := b.files()
	if files[b.config] != own {
		t.Error("the configuration was changed")
	}
	// Alice may open every source; Bob stands for himself.
	if text := files[path]; strings.Contains(text, aliceLine) || !strings.Contains(text, `"subject":"bob"`) || !strings.Contains(text, carolLine) {
		t.Errorf("%s", text)
	}
	dave, daveLine := b.key("dave")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a key that it does not let in": {[]string{"--key", dave}, "add this to its verifyKeys: " + quoted(daveLine)},
		"another address":               {[]string{"--key", alice, "--listen", "127.0.0.1:1"}, "changes no file that is there"},
	} {
		if _, _, err := b.run("", c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.write(filepath.Join(b.dir, "etc", sourcesDir, "more.json"), "{}")
	if _, _, err := b.run("", b.me("--key", dave, "--source", "more")...); err == nil || !strings.Contains(err.Error(), "more.json is there") {
		t.Errorf("a file in its place: %v", err)
	}
	b.write(b.config, own+"}")
	if _, _, err := b.run("", b.me("--key", dave, "--source", "x")...); err == nil || !strings.Contains(err.Error(), "agent.json:5:2") {
		t.Errorf("a broken configuration: %v", err)
	}
}

func TestSetupKeys(t *testing.T) {
	b := newBench(t)
	alice, aliceLine := b.key("alice")
	_, bobLine := b.key("bob")
	b.write(filepath.Join(b.dir, "both"), "# ours\n"+aliceLine+"\n\n"+bobLine+"\n"+aliceLine+"\n")
	private := filepath.Join(b.dir, "private")
	k, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.MarshalOpenSSH("", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.write(private, string(text))
	for name, c := range map[string]struct {
		input string
		keys  []string
		want  int    // keys
		err   string // in their place
	}{
		"a file":                {"", []string{alice}, 1, ""},
		"a line":                {"", []string{bobLine}, 1, ""},
		"standard input":        {aliceLine + "\n" + bobLine, []string{"-"}, 2, ""},
		"several, one twice":    {"", []string{filepath.Join(b.dir, "both"), alice}, 2, ""},
		"no key on it":          {"\n# none\n", []string{"-"}, 0, "there is no key in it"},
		"nonsense":              {"", []string{"nonsense"}, 0, "neither a file nor a public key"},
		"a private key":         {"", []string{private}, 0, "this is a private key"},
		"options":               {`from="10.0.0.1" ` + aliceLine, []string{"-"}, 0, "line 1: key options"},
		"more than keys can be": {strings.Repeat("#", maxKeyInput+1), []string{"-"}, 0, "more than 65536 bytes"},
	} {
		s := setup{keys: c.keys}
		keys, err := s.readKeys(t.Context(), strings.NewReader(c.input))
		if len(keys) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

func TestSetupAnswers(t *testing.T) {
	b := newBench(t)
	alice, aliceLine := b.key("alice")
	_, bobLine := b.key("bob")
	found, err := keysIn([]byte(aliceLine+"\n"+bobLine+"\n"), "here")
	if err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[string]int{
		"1": 1, "1 2": 2, "2,1": 2, alice: 1, bobLine: 1, "": 0, "0": 0, "3": 0, "1 alice": 0, "-": 0,
	} {
		if keys, err := chosen(answer, found); len(keys) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d keys, %v", answer, len(keys), err)
		}
	}
}

func TestSetupUsage(t *testing.T) {
	b := newBench(t)
	alice, _ := b.key("alice")
	for name, args := range map[string][]string{
		"an address":        {"--key", alice, "--listen", "4000"},
		"a shell":           {"--key", alice, "--shell", "bash"},
		"a file's nonsense": {"--key", "nosuch"},
	} {
		_, _, err := b.run("", b.me(args...)...)
		if err == nil || len(b.files()) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if os.Geteuid() == 0 {
		if _, _, err := b.run("", "--key", alice); err == nil || !strings.Contains(err.Error(), "--user NAME") {
			t.Errorf("as whom: %v", err)
		}
	}
	if _, _, err := b.run("", b.me("--key", alice, "--source", "No!")...); err == nil || len(b.files()) != 1 {
		t.Errorf("a name: %v", err)
	}
}

func TestConnectCommand(t *testing.T) {
	for want, l := range map[string]listenSettings{
		"agent shell --fingerprint F debug " + hostName():                  {Address: addresses{":4000"}},
		"agent shell --fingerprint F -p 22 debug " + hostName():            {Address: addresses{"0.0.0.0:22", "127.0.0.1:4000"}},
		"agent shell --fingerprint F -p PORT debug 192.0.2.1":              {Address: addresses{"192.0.2.1:0"}},
		"agent shell --fingerprint F debug https://web.example:4000/ops":   {Address: addresses{"web.example:4000"}, PathPrefix: "/ops"},
		"agent shell --fingerprint F -p 4001 debug 2001:db8::1":            {Address: addresses{"[2001:db8::1]:4001"}},
		"agent shell --fingerprint F debug 'https://[2001:db8::1]:4000/a'": {Address: addresses{"[2001:db8::1]:4000"}, PathPrefix: "/a"},
	} {
		if got := connectCommand(&loaded{settings: settings{Listen: l}}, "debug", "F"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := startCommand("/etc/it's/agent.json"); got != `agent listen -c '/etc/it'\''s/agent.json'` {
		t.Errorf("got %s", got)
	}
}
