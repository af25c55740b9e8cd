package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// batch runs lines of sftp(1) through the link, and stops at the first that fails.
func (u *sshUser) batch(options []string, lines ...string) result {
	u.t.Helper()
	args := append([]string{"sftp", "-q", "-S", u.ssh}, options...)
	return u.call(strings.Join(lines, "\n")+"\n", append(args, "-b", "-", "debug@myhost")...)
}

// local writes a file of the person's.
func (u *sshUser) local(name, text string, mode os.FileMode) string {
	u.t.Helper()
	path := filepath.Join(u.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		u.t.Fatal(err)
	}
	return path
}

func (u *sshUser) same(a, b string) {
	u.t.Helper()
	if got := u.call("", "cmp", a, b); got.code != 0 {
		u.t.Errorf("%s%s", got.stdout, got.stderr)
	}
}

// Files are the same both ways, whatever the size of a request and however many
// are on their way.
func TestRegressSFTP(t *testing.T) {
	need(t, "sftp")
	u := newSSHUser(t, nil)
	remote := u.remoteDir()
	data := u.blob(700)
	for _, size := range []int{5000, 32000, 64000, 261120} {
		for _, requests := range []int{1, 2, 10, 256} {
			options := []string{"-B", fmt.Sprint(size), "-R", fmt.Sprint(requests)}
			back := filepath.Join(u.dir, "back")
			if got := u.batch(options, "put "+data+" "+remote+"/up", "get "+remote+"/up "+back); got.code != 0 {
				t.Errorf("%v: %+v", options, got)
			}
			u.same(data, back)
		}
	}
	small := u.local("small", strings.Repeat("x", 10000), 0o644)
	if got := u.batch([]string{"-B", "5", "-R", "3"}, "put "+small+" "+remote+"/small"); got.code != 0 {
		t.Errorf("five bytes at a time: %+v", got)
	}
	u.same(small, remote+"/small")
}

// The commands of sftp(1), one by one; a batch stops at the first that fails, but
// for those that begin with "-".
func TestRegressSFTPCommands(t *testing.T) {
	need(t, "sftp")
	u := newSSHUser(t, nil)
	r := u.remoteDir()
	f := u.local("f", "text\n", 0o640)
	odd := u.local("odd name's \"é\"", "odd\n", 0o644)
	quoted := `"` + strings.ReplaceAll(odd, `"`, `\"`) + `"`
	for _, c := range []struct {
		line string
		ok   bool
		then string // must succeed there
	}{
		{"mkdir " + r + "/d", true, "test -d " + r + "/d"},
		{"mkdir " + r + "/d", false, ""},
		{"cd " + r + "/d", true, ""},
		{"cd " + r + "/missing", false, ""},
		{"put " + f + " " + r + "/d/", true, "cmp " + f + " " + r + "/d/f"},
		{"put -p " + f + " " + r + "/d/p", true, "test $(stat -c %a " + r + "/d/p) = 640"},
		{"put " + quoted + " " + r + "/d/", true, "ls " + r + "/d | grep -q odd"},
		{"put " + f + ` "` + r + `/d/two words"`, true, "test -f '" + r + "/d/two words'"},
		{"get " + r + `/d/two\ words ` + u.dir + "/words", true, ""},
		{"get " + r + "/d/missing " + u.dir + "/x", false, ""},
		{"get " + r + "/d", false, ""}, // a directory, without -r
		{"rename " + r + "/d/p " + r + "/d/q", true, "test ! -e " + r + "/d/p"},
		{"rename " + r + "/d/q " + r + "/d/f", true, "test ! -e " + r + "/d/q"}, // replaces, as posix-rename does
		{"rename " + r + "/d/missing " + r + "/d/x", false, ""},
		{"ln " + r + "/d/f " + r + "/d/hard", true, "test " + r + "/d/f -ef " + r + "/d/hard"},
		{"ln -s f " + r + "/d/soft", true, "test $(readlink " + r + "/d/soft) = f"},
		{"ln -s f " + r + "/d/soft", false, ""},
		{"copy " + r + "/d/f " + r + "/d/copied", true, "cmp " + r + "/d/f " + r + "/d/copied"},
		{"chmod -h 640 " + r + "/d/f", true, "test $(stat -c %a " + r + "/d/f) = 640"},
		{"put -f " + f + " " + r + "/d/synced", true, "cmp " + f + " " + r + "/d/synced"},
		{"get -f " + r + "/d/synced " + u.dir + "/synced", true, ""},
		{"chmod 600 " + r + "/d/f", true, "test $(stat -c %a " + r + "/d/f) = 600"},
		{"chmod 600 " + r + "/d/missing", false, ""},
		{"chgrp 1234567 " + r + "/d/f", false, ""},
		{"ls -lan " + r + "/d", true, ""},
		{"ls -1rt " + r + "/d", true, ""},
		{"ls " + r + "/missing", false, ""},
		{"df -h " + r, true, ""}, {"df -i " + r, true, ""},
		{"pwd", true, ""}, {"lpwd", true, ""}, {"version", true, ""}, {"help", true, ""},
		{"rm " + r + "/d/soft", true, "test -e " + r + "/d/f"},
		{"rm " + r + "/d/missing", false, ""},
		{"rmdir " + r + "/d", false, ""}, // which is not empty
		{"rmdir " + r + "/d/f", false, ""},
		{"rm " + r + "/d/*", true, ""},
		{"rmdir " + r + "/d", true, "test ! -e " + r + "/d"},
		{"nonsense", false, ""},
	} {
		got := u.batch(nil, c.line)
		if (got.code == 0) != c.ok {
			t.Errorf("%s: %+v", c.line, got)
		}
		if c.then != "" {
			if got := u.call("", "sh", "-c", c.then); got.code != 0 {
				t.Errorf("%s: then not %s", c.line, c.then)
			}
		}
	}
	if got := u.batch(nil, "-rm "+r+"/missing", "mkdir "+r+"/after", "rm "+r+"/missing", "mkdir "+r+"/never"); got.code == 0 {
		t.Errorf("a batch with a mistake: %+v", got)
	}
	u.must("sh", "-c", "test -d "+r+"/after && test ! -e "+r+"/never")
}

// Names with what means something to a pattern are found by the pattern, and by
// themselves.
func TestRegressSFTPGlob(t *testing.T) {
	need(t, "sftp")
	u := newSSHUser(t, nil)
	r := u.remoteDir()
	for _, name := range []string{"a1", "a2", "b1", "g-glob[1]", `g-quote"`, `g-slash\`, "g-star*"} {
		if err := os.WriteFile(filepath.Join(r, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		"a*": "a1 a2", "?1": "a1 b1", "[ab]1": "a1 b1", `g-glob\[1\]`: "g-glob[1]", `g-quote\"`: `g-quote"`, `g-slash\\`: `g-slash\`, `g-star\*`: "g-star*", "a1": "a1",
	} {
		into := t.TempDir()
		if got := u.batch(nil, "get "+r+"/"+pattern+" "+into); got.code != 0 {
			t.Errorf("%s: %+v", pattern, got)
			continue
		}
		entries, _ := os.ReadDir(into)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		sort.Strings(names)
		if strings.Join(names, " ") != want {
			t.Errorf("%s finds %q, want %q", pattern, names, want)
		}
	}
}

// What a first attempt left is gone on with, from where it stands.
func TestRegressSFTPResume(t *testing.T) {
	need(t, "sftp")
	u := newSSHUser(t, nil)
	r := u.remoteDir()
	data := u.blob(2000)
	whole, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, have := range []int{0, 1, 1000, 999_999, len(whole) - 1} {
		there, here := filepath.Join(r, "there"), filepath.Join(u.dir, "here")
		for _, path := range []string{there, here} {
			if err := os.WriteFile(path, whole[:have], 0o666); err != nil {
				t.Fatal(err)
			}
			_ = os.Chmod(path, 0o666)
		}
		if got := u.batch(nil, "reput "+data+" "+there, "reget "+data+" "+here); got.code != 0 {
			t.Errorf("after %d bytes: %+v", have, got)
		}
		u.same(data, there)
		u.same(data, here)
	}
	// More than there is to get is no beginning of it.
	larger := u.local("larger", strings.Repeat("x", len(whole)+1), 0o644)
	if got := u.batch(nil, "reget "+data+" "+larger); got.code == 0 {
		t.Errorf("a local file that is larger: %+v", got)
	}
}

// scp in both of its ways, from here, to here, and between two that are there.
func TestRegressSCP(t *testing.T) {
	need(t, "scp")
	u := newSSHUser(t, nil)
	file := u.local("tree/file", "text\n", 0o640)
	u.local("tree/sub/two words", "two\n", 0o600)
	u.local("tree/sub/é 'quote\" $x`;&|*?", "odd\n", 0o755)
	u.local("tree/empty/file", "", 0o644)
	tree := filepath.Dir(file)
	for _, way := range []string{"-s", "-O"} {
		t.Run(way, func(t *testing.T) {
			r := u.remoteDir()
			n := 0
			scp := func(ok bool, args ...string) result {
				t.Helper()
				got := u.call("", append([]string{"scp", "-q", way, "-S", u.ssh}, args...)...)
				if (got.code == 0) != ok {
					t.Errorf("%q: %+v", args, got)
				}
				return got
			}
			if way == "-s" { // the old way has no word for it
				u.local("tree/sub/line\nbreak", "break\n", 0o644)
				defer os.Remove(filepath.Join(tree, "sub", "line\nbreak"))
			}
			fresh := func() string { n++; return filepath.Join(u.dir, fmt.Sprint(way, n)) }
			scp(true, file, "debug@myhost:"+r+"/file")
			u.same(file, r+"/file")
			scp(true, file, "myhost:"+r) // into a directory
			scp(true, file, "myhost:"+r+"/")
			back := fresh()
			scp(true, "scp://debug@myhost/"+r+"/file", back)
			u.same(file, back)
			scp(true, "-p", file, "myhost:"+r+"/kept")
			if here, there := u.must("stat", "-c", "%a %Y", file), u.must("stat", "-c", "%a %Y", r+"/kept"); here != there {
				t.Errorf("-p: %s is %s there", here, there)
			}
			scp(true, "-rp", tree, "myhost:"+r+"/tree")
			u.must("diff", "-r", tree, r+"/tree")
			back = fresh()
			scp(true, "-r", "myhost:"+r+"/tree", back)
			u.must("diff", "-r", tree, back)
			scp(true, "-r", tree, "myhost:"+r) // what is there is written over
			u.must("diff", "-r", tree, r+"/tree")
			// Between two places there, through here.
			scp(true, "-3", "myhost:"+r+"/file", "debug@myhost:"+r+"/third")
			u.same(file, r+"/third")
			scp(true, "-3r", "myhost:"+r+"/tree", "myhost:"+r+"/tree3")
			u.must("diff", "-r", tree, r+"/tree3")
			// A name that begins with "-", and one with a colon.
			for _, name := range []string{"-dash", "a:b"} {
				u.must("cp", file, r+"/"+name)
				u.must("chmod", "644", r+"/"+name)
				back = fresh()
				scp(true, "myhost:"+r+"/"+name, back)
				u.same(file, back)
			}
			// Several into one directory; without one it is a mistake.
			into := t.TempDir()
			scp(true, "myhost:"+r+"/file", "myhost:"+r+"/kept", into)
			u.same(file, into+"/kept")
			scp(false, "myhost:"+r+"/file", "myhost:"+r+"/kept", into+"/file")
			scp(true, "myhost:"+r+"/k*", into+"/")
			// From the home of its user.
			u.must(u.ssh, "myhost", "cp "+r+"/third ~/e2e-scp-third")
			scp(true, "myhost:~/e2e-scp-third", into+"/a")
			scp(true, "myhost:e2e-scp-third", into+"/b")
			scp(true, "myhost:~"+u.must(u.ssh, "myhost", "printf %s $USER")+"/e2e-scp-third", into+"/c")
			u.must(u.ssh, "myhost", "rm ~/e2e-scp-third")
			u.same(into+"/a", into+"/c")
			// What is not there, is a directory, or may not be read.
			scp(false, "myhost:"+r+"/missing", into)
			scp(false, "myhost:"+r+"/tree", into)
			scp(false, "myhost:/etc/shadow", into)
			scp(false, file, "myhost:/etc/not-allowed")
			scp(false, file, "nosuch@myhost:"+r+"/x")
			// One that fails among others: the others are copied, and it is told.
			scp(false, "myhost:"+r+"/missing", "myhost:"+r+"/third", into)
			u.same(file, into+"/third")
		})
	}
}

// Where sftp(1) takes its files from: a batch, a path behind the host, a URI, a
// tree.
func TestRegressSFTPURI(t *testing.T) {
	need(t, "sftp")
	u := newSSHUser(t, nil)
	r := u.remoteDir()
	u.must(u.ssh, "myhost", "mkdir -p "+r+"/d/sub; echo one >"+r+"/d/f; echo two >'"+r+"/d/sub/two words'")
	port := fmt.Sprint(u.port)
	for i, from := range []string{
		"debug@myhost:" + r + "/d/f", "myhost:" + r + "/d/f", "sftp://debug@myhost/" + r + "/d/f", "sftp://debug@myhost:" + port + "/" + r + "/d/f",
	} {
		into := filepath.Join(u.dir, fmt.Sprint("got", i))
		if got := u.call("", "sftp", "-q", "-S", u.ssh, from, into); got.code != 0 {
			t.Errorf("%s: %+v", from, got)
		}
		u.same(r+"/d/f", into)
	}
	if got := u.call("ls\n", "sftp", "-q", "-S", u.ssh, "-b", "-", "-P", port, "sftp://debug@myhost/"+r+"/d/"); got.code != 0 || !strings.Contains(got.stdout, "sub") {
		t.Errorf("a directory: %+v", got)
	}
	back := filepath.Join(u.dir, "back")
	if got := u.batch(nil, "get -r "+r+"/d "+back, "mkdir "+r+"/up", "put -r "+back+" "+r+"/up/d"); got.code != 0 {
		t.Errorf("trees: %+v", got)
	}
	u.must("diff", "-r", r+"/d", back)
	if got := u.call("", u.ssh, "myhost", "diff -r "+r+"/d "+r+"/up/d"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if got := u.batch([]string{"-l", "8000", "-C"}, "get "+r+"/d/f "+u.dir+"/slow"); got.code != 0 {
		t.Errorf("limited and compressed: %+v", got)
	}
}
