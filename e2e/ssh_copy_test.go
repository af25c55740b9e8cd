package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// writeFiles makes n small files in directories of a hundred.
func writeFiles(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprint(i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), fmt.Appendf(nil, "file %d\n", i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// writeLarge makes a file of so many MiB, of which none is like another.
func writeLarge(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	if _, err := rand.Read(block); err != nil {
		t.Fatal(err)
	}
	for i := range size {
		block[0], block[1] = byte(i), byte(i>>8)
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSSHRsync(t *testing.T) {
	need(t, "rsync")
	u := newSSHUser(t, nil)
	remote, local := u.remoteDir(), t.TempDir()
	from, back := filepath.Join(local, "from"), filepath.Join(local, "back")

	writeFiles(t, from, 10000)
	u.must("rsync", "-a", from+"/", "debug@myhost:"+remote+"/many/")
	u.must("rsync", "-a", "-e", agentBin+" ssh -q", "myhost:"+remote+"/many/", back+"/")
	u.must("diff", "-r", from, back)

	if err := os.RemoveAll(filepath.Join(from, "7")); err != nil {
		t.Fatal(err)
	}
	u.must("rsync", "-a", "--delete", from+"/", "myhost:"+remote+"/many/")
	u.must("diff", "-r", from, filepath.Join(remote, "many"))

	large := filepath.Join(local, "large")
	writeLarge(t, large, 500)
	u.must("rsync", large, "myhost:"+remote+"/")
	u.must("cmp", large, filepath.Join(remote, "large"))
	u.must("rsync", "--inplace", "--ignore-times", "myhost:"+remote+"/large", local+"/again")
	u.must("cmp", large, local+"/again")
}

func TestSSHGit(t *testing.T) {
	need(t, "git")
	u := newSSHUser(t, nil)
	remote, local := u.remoteDir(), t.TempDir()
	u.must(u.ssh, "myhost", "git init -q --bare -b main "+remote+"/repo")
	git := func(dir string, args ...string) {
		t.Helper()
		u.must(append([]string{"git", "-C", dir, "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"}, args...)...)
	}
	first, second := filepath.Join(local, "first"), filepath.Join(local, "second")
	plain := u.env
	for _, c := range []struct{ name, variable, url string }{
		{"ssh on the PATH", "", "debug@myhost:" + remote + "/repo"},
		{"GIT_SSH", "GIT_SSH=" + u.ssh, fmt.Sprintf("ssh://debug@myhost:%d%s/repo", u.port, remote)},
		{"GIT_SSH_COMMAND", "GIT_SSH_COMMAND=" + agentBin + " ssh", fmt.Sprintf("ssh://myhost:%d%s/repo", u.port, remote)},
	} {
		t.Run(c.name, func(t *testing.T) {
			u.env = append(plain[:len(plain):len(plain)], c.variable)
			for _, dir := range []string{first, second} {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			git(local, "clone", "-q", c.url, first)
			if err := os.WriteFile(filepath.Join(first, "file"), []byte(c.name), 0o644); err != nil {
				t.Fatal(err)
			}
			git(first, "add", "file")
			git(first, "commit", "-q", "-m", c.name)
			git(first, "push", "-q", "origin", "HEAD:main")
			git(local, "clone", "-q", c.url, second)
			u.must("cmp", filepath.Join(first, "file"), filepath.Join(second, "file"))
			git(first, "fetch", "-q")
		})
	}
}

// scp's old mode runs the host's scp; the other, as sftp, has the agent's SFTP.
func TestSSHSCP(t *testing.T) {
	need(t, "scp", "sftp")
	u := newSSHUser(t, nil)
	remote, local := u.remoteDir(), t.TempDir()
	from := filepath.Join(local, "from")
	writeFiles(t, from, 200)
	writeLarge(t, filepath.Join(from, "large"), 20)
	u.must("scp", "-q", "-O", "-p", "-r", "-S", u.ssh, from, "debug@myhost:"+remote+"/to")
	u.must("diff", "-r", from, filepath.Join(remote, "to"))
	u.must("scp", "-q", "-O", "-r", "-S", u.ssh, "scp://debug@myhost:"+fmt.Sprint(u.port)+"/"+remote+"/to", filepath.Join(local, "back"))
	u.must("diff", "-r", from, filepath.Join(local, "back"))
	u.must("scp", "-q", "-s", "-p", "-r", "-S", u.ssh, from, "debug@myhost:"+remote+"/by-sftp")
	u.must("diff", "-r", from, filepath.Join(remote, "by-sftp"))
	if got := u.call("get -r "+remote+"/to "+local+"/got\nrename "+remote+"/to/large "+remote+"/moved\n", "sftp", "-q", "-b", "-", "-S", u.ssh, "debug@myhost"); got.code != 0 {
		t.Errorf("sftp: %+v", got)
	}
	u.must("diff", "-r", from, filepath.Join(local, "got"))
	u.must("cmp", filepath.Join(from, "large"), filepath.Join(remote, "moved"))
	if got := u.call("", "scp", "-O", "-S", u.ssh, "myhost:"+remote+"/nothing", local); got.code == 0 {
		t.Errorf("a file that is not there was copied: %+v", got)
	}
}

func TestSSHBorg(t *testing.T) {
	need(t, "borg")
	u := newSSHUser(t, nil)
	u.env = append(u.env, "BORG_BASE_DIR="+u.dir, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes")
	remote, local := u.remoteDir(), t.TempDir()
	from, back := filepath.Join(local, "from"), filepath.Join(local, "back")
	writeFiles(t, from, 300)
	writeLarge(t, filepath.Join(from, "large"), 20)
	if err := os.Mkdir(back, 0o755); err != nil {
		t.Fatal(err)
	}
	repo := "ssh://debug@myhost" + remote + "/repo"
	u.must("borg", "init", "--encryption=none", repo)
	u.must("sh", "-c", "cd "+from+" && borg create "+repo+"::one .")
	u.must("sh", "-c", "cd "+back+" && borg extract "+repo+"::one")
	u.must("diff", "-r", from, back)
	u.must("borg", "check", "debug@myhost:"+remote+"/repo")
}
