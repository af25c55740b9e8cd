package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// copied is the last line of cp --json.
type copied struct {
	OK        bool  `json:"ok"`
	Files     int   `json:"files"`
	Dirs      int   `json:"directories"`
	Links     int   `json:"links"`
	Unchanged int   `json:"unchanged"`
	Bytes     int64 `json:"bytes"`
	Resumed   int64 `json:"resumedBytes"`
	Problems  int   `json:"problems"`
}

// cp copies, and says how it went.
func (h *host) cp(args ...string) (result, copied) {
	h.t.Helper()
	got := h.runClient(strings.NewReader(""), "cp", append([]string{"--accept-new", "--json"}, args...)...)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	var c copied
	if got.stdout != "" && json.Unmarshal([]byte(lines[len(lines)-1]), &c) != nil {
		h.t.Errorf("the last line is %q", lines[len(lines)-1])
	}
	return got, c
}

// mustCopy fails the test unless everything was copied.
func (h *host) mustCopy(args ...string) copied {
	h.t.Helper()
	got, c := h.cp(args...)
	if got.code != 0 || !c.OK {
		h.t.Fatalf("cp %q: code %d\n%s%s", args, got.code, got.stdout, got.stderr)
	}
	return c
}

// treeOf is what find tells of a tree, and sha256sum of its files.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `cd "$0" && find . -mindepth 1 \( -type d -printf '%P %y %m %T@ %l\n' -o -printf '%P %y %m %T@ %s %l\n' \) | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum`, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func sameTrees(t *testing.T, what, a, b string) {
	t.Helper()
	if ta, tb := treeOf(t, a), treeOf(t, b); ta != tb {
		t.Errorf("%s: the trees differ:\n%s\n---\n%s", what, tail(ta, 3000), tail(tb, 3000))
	}
	for _, line := range [][]string{{"diff", "-r", "--no-dereference", a, b}, {"rsync", "-nac", "--delete", "--no-owner", "--no-group", "--itemize-changes", a + "/", b + "/"}} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil || !onlyTheTop(string(out)) {
			t.Errorf("%s: %q: %v: %s", what, line, err, tail(string(out), 2000))
		}
	}
}

// onlyTheTop says that rsync would change nothing but the directory itself.
func onlyTheTop(itemized string) bool {
	return itemized == "" || strings.HasPrefix(itemized, ".d") && strings.HasSuffix(itemized, " ./\n") && strings.Count(itemized, "\n") == 1
}

// motley is a tree with everything that is copied.
func motley(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "e2e-cp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	script := `set -e
cd "$0"
chmod 755 .
mkdir -p tree/deep/er/and/deeper tree/empty tree/readonly tree/many
cd tree
seq 1 200 | while read i; do head -c $((i * 37)) /dev/urandom > many/$i; done
head -c 3000001 /dev/urandom > large
printf x > 'a name
of two lines'
printf x > "$(printf 'not \377 utf-8')"
printf x > ' -rf *'
: > zero
head -c 100 /dev/urandom > deep/er/and/deeper/f
truncate -s 60M sparse
printf middle | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none
cp large readonly/f
ln -s large link
ln -s /nonexistent/target dangling
ln -s .. up
chmod 600 large; chmod 755 zero; chmod 444 readonly/f; chmod 555 readonly
touch -d '2001-02-03 04:05:06.123456789' deep/er zero readonly
touch -h -d '2001-02-03 04:05:06.123456789' link
`
	if out, err := exec.Command("sh", "-c", script, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir + "/tree"
}

// Trees go to a target, back, and on to another one, and are what they were.
func TestCopyTrees(t *testing.T) {
	need(t, "rsync")
	there := served(t)
	from := motley(t)
	h := startHost(t, policed(nil))
	other := startHost(t, policed(nil))
	// One person, two targets.
	h.writeJSON(h.client, object{"signingKeyPath": h.key, "targets": object{
		"myhost": object{"hostname": "127.0.0.1", "port": h.port, "source": "debug"},
		"other":  object{"hostname": "127.0.0.1", "port": other.port, "source": "debug"},
	}})
	other.reconfigure(func(c object) { c["verifyKeys"] = []string{h.publicKey(h.key)} })
	if got := other.operator("reload"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	c := h.mustCopy(from, "myhost:"+there+"/in")
	if c.Files != 208 || c.Dirs != 8 || c.Links != 3 || c.Bytes < 60<<20 {
		t.Errorf("%+v", c)
	}
	sameTrees(t, "to a target", from, there+"/in/tree")
	if os.Geteuid() == 0 {
		if owner := strings.TrimSpace(h.run0("stat", "-c", "%U", there+"/in/tree/large")); owner != "operator" {
			t.Errorf("the file is %s's", owner)
		}
	}
	c = h.mustCopy("debug@myhost:"+there+"/in/tree/.", h.dir+"/back")
	sameTrees(t, "back", from, h.dir+"/back")
	h.mustCopy("myhost:"+there+"/in/tree", "other:"+there+"/out/elsewhere")
	sameTrees(t, "from target to target", from, there+"/out/elsewhere")
	for _, name := range []string{from, there + "/in/tree", h.dir + "/back", there + "/out/elsewhere"} {
		var st syscall.Stat_t
		if err := syscall.Stat(name+"/sparse", &st); err != nil || st.Blocks*512 > 4<<20 {
			t.Errorf("%s/sparse takes %d bytes, %v", name, st.Blocks*512, err)
		}
	}
	// Once more, nothing has to be copied; and without the flag everything is.
	for _, args := range [][]string{{"-u", from + "/.", "myhost:" + there + "/in/tree"}, {"-u", "myhost:" + there + "/in/tree/.", h.dir + "/back"}, {"-u", "myhost:" + there + "/in/tree/.", "other:" + there + "/out/elsewhere"}} {
		if c := h.mustCopy(args...); c.Files != 0 || c.Unchanged != 208 || c.Bytes != 0 {
			t.Errorf("%q: %+v", args, c)
		}
	}
	if c := h.mustCopy("-prC", "myhost:"+there+"/in/tree/.", h.dir+"/back"); c.Files != 208 {
		t.Errorf("%+v", c)
	}
	sameTrees(t, "over itself", from, h.dir+"/back")
	h.told("session.opened", map[string]any{"source": "debug", "command": "copy"})
	h.told("command.run", map[string]any{"command": "copy"})
}

// Paths are as in scp, patterns are the target's, and several sources go to one
// directory.
func TestCopyPathsAndPatterns(t *testing.T) {
	there := served(t)
	h := startHost(t, policed(nil))
	local := t.TempDir()
	for name, text := range map[string]string{"a.log": "a", "b.log": "b", "c.txt": "c", ".hidden.log": "h"} {
		if err := os.WriteFile(filepath.Join(there, "in", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(local, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.mustCopy("myhost:"+there+"/in/*.log", "myhost:"+there+"/in/c.txt", local+"/a.log", "myhost:"+there+"/out")
	if got := h.run0("ls", "-A", there+"/out"); got != "a.log\nb.log\nc.txt\n" {
		t.Errorf("%q", got)
	}
	home := strings.TrimSpace(h.exec(strings.NewReader(""), "myhost", "--", "pwd").stdout)
	name := fmt.Sprintf("e2e-cp-%d", os.Getpid())
	t.Cleanup(func() { os.Remove(filepath.Join(home, name)); os.Remove(filepath.Join(home, name+"2")) })
	h.mustCopy(local+"/c.txt", "myhost:"+name)
	h.mustCopy("myhost:~/"+name, "myhost:"+name+"2")
	if got, err := os.ReadFile(filepath.Join(home, name+"2")); err != nil || string(got) != "c" {
		t.Errorf("%q, %v", got, err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"myhost:" + there + "/in/*.none", local}, 1, "nothing matches"},
		{[]string{"myhost:" + there + "/in/*.log", local + "/new"}, 1, "not a directory"},
		{[]string{local + "/a.log", local + "/b.log", "myhost:" + there + "/in/c.txt"}, 1, "not a directory"},
		{[]string{local + "/a.log", "myhost:/nonexistent/dir/f"}, 1, "/nonexistent/dir/f: the directory that it should be in: no such file or directory"},
		{[]string{local + "/none", local + "/a.log", "myhost:" + there + "/in"}, 1, "no such file or directory"},
		{[]string{local + "/a.log", local + "/d"}, 2, "both on this machine"},
		{[]string{local + "/a.log"}, 2, "copied where"},
		{[]string{local + "/a.log", "nobody knows:x"}, 2, ""},
		{[]string{local + "/a.log", "--bwlimit", "fast", "myhost:"}, 2, "--bwlimit"},
	} {
		got := h.runClient(strings.NewReader(""), "cp", append([]string{"--accept-new"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.stderr, c.says) || got.stdout != "" {
			t.Errorf("%q: %+v", c.args, got)
		}
	}
}

// What a source allows of SFTP it allows of copies.
func TestCopyWithinLimits(t *testing.T) {
	there := served(t)
	in := there + "/in"
	for _, name := range []string{"in/f", "out/f"} {
		if err := os.WriteFile(filepath.Join(there, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"leads-out": "../out/f", "up": "../out"} {
		if err := os.Symlink(target, filepath.Join(in, name)); err != nil {
			t.Fatal(err)
		}
	}
	h := startHost(t, policed(map[string]object{
		"ro":      {"allow": object{"sftp": object{"readOnly": true}}},
		"limited": {"allow": object{"sftp": object{"paths": []string{in}}}, "shell": "/usr/sbin/nologin"},
		"none":    {"allow": object{"exec": true, "shell": true}},
		"forced":  {"forceCommand": "true"},
	}))
	if err := os.WriteFile(h.dir+"/mine", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	for _, c := range []struct {
		from, to string
		code     int
	}{
		{"ro@myhost:" + in + "/f", to + "/a", 0},
		{h.dir + "/mine", "ro@myhost:" + in + "/n", 1},
		{"limited@myhost:" + in + "/f", to + "/b", 0},
		{"limited@myhost:f", to + "/c", 0}, // it starts in the first path
		{h.dir + "/mine", "limited@myhost:n", 0},
		{"limited@myhost:" + there + "/out/f", to + "/d", 1},
		{"limited@myhost:" + in + "/../out/f", to + "/d", 1},
		{"limited@myhost:/etc/passwd", to + "/d", 1},
		{"limited@myhost:up/f", to + "/d", 1},
		{"limited@myhost:up/", to + "/d", 1},
		{"limited@myhost:/etc/pass*", to + "/d", 1},
		{h.dir + "/mine", "limited@myhost:" + there + "/out/n", 1},
		{h.dir + "/mine", "limited@myhost:up/n", 1},
		{h.dir + "/mine", "limited@myhost:/tmp/n", 1},
		{"none@myhost:" + in + "/f", to + "/e", 255},
		{"forced@myhost:" + in + "/f", to + "/e", 255},
	} {
		if got, _ := h.cp(c.from, c.to); got.code != c.code {
			t.Errorf("%s to %s: %+v", c.from, c.to, got)
		}
	}
	if got, _ := h.cp("-L", "limited@myhost:leads-out", to+"/f"); got.code != 1 {
		t.Errorf("%+v", got)
	}
	if got := h.run0("ls", "-A", to) + h.run0("ls", "-A", there+"/out") + h.run0("ls", "-A", in); got != "a\nb\nc\nf\nf\nleads-out\nn\nup\n" {
		t.Errorf("%q", got)
	}
	h.told("request.refused", map[string]any{"reason": "action", "source": "none"})
}

// What the user may not read or write is said, and the rest is copied.
func TestCopyWhatIsNotAllowed(t *testing.T) {
	needRoot(t)
	there := served(t)
	h := startHost(t, policed(nil))
	script := `set -e
cd "$0"
for i in 1 2 3; do echo $i > in/$i; done
mkdir in/closed out/closed
echo secret > in/closed/f; echo secret > in/secret
chmod 700 in/closed out/closed; chmod 600 in/secret
mkfifo in/pipe`
	h.run0("sh", "-c", script, there)
	got, c := h.cp("myhost:"+there+"/in/.", h.dir+"/got")
	if got.code != 1 || c.Files != 3 || c.Problems != 2 || strings.Count(got.stdout, "permission denied") != 2 || !strings.Contains(got.stdout, "is left out") {
		t.Errorf("%+v, %+v", got, c)
	}
	// A file of which only the name can be read is found out when it is wanted.
	got, c = h.cp("-u", "myhost:"+there+"/in/.", h.dir+"/got")
	if got.code != 1 || c.Unchanged != 3 || c.Problems != 2 || strings.Count(got.stdout, "permission denied") != 2 {
		t.Errorf("%+v, %+v", got, c)
	}
	got, c = h.cp(there+"/in/.", "myhost:"+there+"/out/")
	if got.code != 1 || c.Files != 4 || !strings.Contains(got.stdout, `/out/closed","text":"permission denied"`) {
		t.Errorf("%+v, %+v", got, c)
	}
	if got, _ := h.cp(h.client, "myhost:/etc/e2e-cp"); got.code != 1 || !strings.Contains(got.stdout+got.stderr, "permission denied") {
		t.Errorf("%+v", got)
	}
}
