package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a folder of the source's user, below a path that others may enter.
func served(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "e2e-sftp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in", "out"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sshFor is a program that sftp(1) and scp(1) take for ssh: it opens a source,
// whatever they call it with.
func (h *host) sshFor(source string) string {
	h.t.Helper()
	name := filepath.Join(h.dir, "ssh-"+source)
	script := fmt.Sprintf("#!/bin/sh\nexec %s exec -q --accept-new -c %s --subsystem sftp %s myhost\n", agentBin, h.client, source)
	syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
	err := os.WriteFile(name, []byte(script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		h.t.Fatal(err)
	}
	return name
}

// tool runs a client of OpenSSH over a source.
func (h *host) tool(stdin, name, source string, args ...string) result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, append([]string{"-S", h.sshFor(source)}, args...)...)
	cmd.Env = h.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	return h.finish(cmd.Run(), cmd, &stdout, &stderr)
}

func (h *host) sftp(source string, lines ...string) result {
	h.t.Helper()
	return h.tool(strings.Join(lines, "\n")+"\n", "sftp", source, "-b", "-", "myhost")
}

// Debian's own sftp and scp, unchanged, over the agent's.
func TestSFTPWithOpenSSHsClients(t *testing.T) {
	need(t, "sftp", "scp")
	dir := served(t)
	h := startHost(t, policed(nil))
	local := filepath.Join(h.dir, "local")
	data := make([]byte, 3<<20+7)
	_, _ = rand.Read(data)
	if err := os.WriteFile(local, data, 0o755); err != nil {
		t.Fatal(err)
	}
	same := func(name string) {
		t.Helper()
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s has %d bytes of %d, %v", name, len(got), len(data), err)
		}
	}
	in := dir + "/in"
	got := h.sftp("debug", "cd "+in, "put "+local+" f", "mkdir d", "rename f d/f", "chmod 640 d/f", "ln -s f d/s", "ls -l d", "pwd", "df "+in,
		"get d/f "+h.dir+"/back", "get d/s "+h.dir+"/link")
	if got.code != 0 || !strings.Contains(got.stdout, "-rw-r-----") || !strings.Contains(got.stdout, "Remote working directory: "+in) {
		t.Fatalf("%+v", got)
	}
	same(in + "/d/f")
	same(h.dir + "/back")
	same(h.dir + "/link")
	if os.Geteuid() == 0 {
		if owner := strings.TrimSpace(h.run0("stat", "-c", "%U", in+"/d/f")); owner != "operator" {
			t.Errorf("the file is %s's", owner)
		}
	}
	// What an earlier attempt left is gone on with, either way.
	for _, name := range []string{in + "/half", h.dir + "/half"} {
		if err := os.WriteFile(name, data[:1<<20], 0o666); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(name, 0o666)
	}
	if got := h.sftp("debug", "reput "+local+" "+in+"/half", "reget "+in+"/d/f "+h.dir+"/half", "rm "+in+"/d/s"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	same(in + "/half")
	same(h.dir + "/half")
	if got := h.tool("", "scp", "debug", "-pr", h.dir+"/local", "myhost:"+in+"/copied"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	same(in + "/copied")
	if info, err := os.Stat(in + "/copied"); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if got := h.tool("", "scp", "debug", "-r", "myhost:"+in+"/d", h.dir+"/tree"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	same(h.dir + "/tree/f")
	for _, line := range []string{"get /etc/shadow " + h.dir + "/shadow", "put " + local + " /etc/e2e-sftp", "cd /nonexistent", "rm /etc/passwd"} {
		if got := h.sftp("debug", line); got.code == 0 {
			t.Errorf("%s: %+v", line, got)
		}
	}
	h.told("session.opened", map[string]any{"source": "debug", "command": "sftp"})
	h.told("command.run", map[string]any{"command": "sftp"})
}

// What a source allows less than its user may.
func TestSFTPWithinLimits(t *testing.T) {
	need(t, "sftp")
	dir := served(t)
	for _, name := range []string{"in/f", "out/f"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../out/f", dir+"/in/leads-out"); err != nil {
		t.Fatal(err)
	}
	in := dir + "/in"
	h := startHost(t, policed(map[string]object{
		"ro":      {"allow": object{"sftp": object{"readOnly": true}}},
		"limited": {"allow": object{"sftp": object{"paths": []string{in}}}, "shell": "/usr/sbin/nologin"},
		"none":    {"allow": object{"exec": true, "shell": true}},
		"menu":    {"shell": "/usr/bin/less"},
		"listed":  {"commands": []string{"true"}},
		"forced":  {"forceCommand": "true"},
	}))
	for _, tt := range []struct {
		source, line string
		ok           bool
	}{
		{"ro", "get " + in + "/f " + h.dir + "/a", true},
		{"ro", "get " + in + "/leads-out " + h.dir + "/a", true},
		{"ro", "put " + h.client + " " + in + "/n", false},
		{"ro", "rm " + in + "/f", false},
		{"ro", "chmod 777 " + in + "/f", false},
		{"ro", "rename " + in + "/f " + in + "/g", false},
		{"ro", "mkdir " + in + "/d", false},
		{"limited", "get " + in + "/f " + h.dir + "/b", true},
		{"limited", "get f " + h.dir + "/b", true}, // it starts in the first path
		{"limited", "put " + h.client + " " + in + "/n", true},
		{"limited", "ls -l " + dir, true},
		{"limited", "get " + dir + "/out/f " + h.dir + "/c", false},
		{"limited", "get " + in + "/../out/f " + h.dir + "/c", false},
		{"limited", "get " + in + "/leads-out " + h.dir + "/c", false},
		{"limited", "get /etc/passwd " + h.dir + "/c", false},
		{"limited", "put " + h.client + " " + dir + "/out/n", false},
		{"limited", "rename " + in + "/n " + dir + "/out/n", false},
		{"none", "pwd", false}, {"menu", "pwd", false}, {"listed", "pwd", false}, {"forced", "pwd", false},
	} {
		if got := h.sftp(tt.source, tt.line); (got.code == 0) != tt.ok {
			t.Errorf("%s: %s: %+v", tt.source, tt.line, got)
		}
	}
	for name, want := range map[string]string{"a": "out/f", "b": "in/f"} {
		if got, _ := os.ReadFile(filepath.Join(h.dir, name)); string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := h.sftp("limited", "ls "+dir); !strings.Contains(got.stdout, "/in") || strings.Contains(got.stdout, "/out") {
		t.Errorf("above what is served: %+v", got)
	}
	for source, want := range map[string]string{
		"none": "the source does not allow sftp: it allows shell, exec", "listed": "it allows exec",
		"forced": "it allows shell, exec", "menu": "there is no sftp unless the source allows it by name",
	} {
		got := h.runClient(strings.NewReader(""), "exec", "--accept-new", "--subsystem", "sftp", source, "myhost")
		if got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %+v", source, got)
		}
	}
	h.told("request.refused", map[string]any{"reason": "action", "source": "none"})
}

// A live session of files ends with its right, and with less of it; not with more.
func TestReloadNarrowsFiles(t *testing.T) {
	needRoot(t)
	dir := served(t)
	h := startHost(t, policed(map[string]object{"files": {"allow": object{"sftp": object{"paths": []string{dir + "/in"}}}}}))
	start := func() (pid int, ended <-chan error) {
		t.Helper()
		cmd := h.clientCmd(context.Background(), "exec", "--accept-new", "--subsystem", "sftp", "files", "myhost")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		t.Cleanup(func() { stdin.Close(); _ = cmd.Process.Kill() })
		h.waitFor("the server of files", func() bool {
			out, _ := exec.Command("pgrep", "-u", "operator", "-f", "^agent sftp-server .*"+dir+"/in").Output()
			pid, _ = strconv.Atoi(strings.TrimSpace(string(out)))
			return pid != 0
		})
		return pid, done
	}
	pid, ended := start()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if name, value, _ := strings.Cut(line, ":\t"); name == "Uid" && strings.Contains("\t"+value+"\t", "\t0\t") || strings.HasPrefix(name, "Cap") && name != "CapBnd" && strings.Trim(value, "0") != "" {
			t.Errorf("it runs with %s", line)
		}
	}
	allow := func(files any) {
		t.Helper()
		h.reconfigure(func(c object) {
			c["sources"].(object)["files"].(object)["allow"] = object{"sftp": files}
		})
		if got := h.operator("reload"); got.code != 0 {
			t.Fatalf("%+v", got)
		}
	}
	allow(object{"paths": []string{dir + "/in", dir + "/out"}})
	allow(true)
	select {
	case err := <-ended:
		t.Fatalf("more rights ended it: %v", err)
	default:
	}
	for _, less := range []any{object{"paths": []string{dir + "/in"}, "readOnly": true}, object{"paths": []string{dir + "/in/deeper", dir + "/out"}}, false} {
		allow(less)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatalf("it goes on with %v", less)
		}
		allow(object{"paths": []string{dir + "/in"}})
		_, ended = start()
	}
	h.told("session.ended", map[string]any{"source": "files", "reason": "no longer allowed by policy"})
}

// A folder of the host's, mounted by Debian's own sshfs.
func TestSSHFSOverTheAgent(t *testing.T) {
	need(t, "sshfs", "fusermount")
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.Logf("NOT RUN: this machine mounts nothing by FUSE: %v", err)
		return
	case os.Geteuid() != 0 && errors.Is(err, fs.ErrPermission):
		t.Skip("needs root: /dev/fuse is not this user's")
	case err != nil:
		t.Fatal(err)
	}
	device.Close()
	dir := served(t)
	h := startHost(t, policed(map[string]object{"files": {"allow": object{"sftp": object{"paths": []string{dir + "/in"}}}}}))
	at := filepath.Join(h.dir, "mnt")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	mount := exec.CommandContext(ctx, "sshfs", "-f", "-o", "ssh_command="+h.sshFor("files"), "myhost:"+dir+"/in", at)
	mount.Env = h.env()
	said := &syncBuffer{}
	mount.Stdout, mount.Stderr = said, said
	if err := mount.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = mount.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = exec.Command("fusermount", "-u", "-z", at).Run()
		<-ended
	})
	if !eventually(20*time.Second, func() bool { return exec.Command("mountpoint", "-q", at).Run() == nil }) {
		t.Fatalf("not mounted: %s", said)
	}
	script := `set -e
cd "$0"
seq 1 100000 > f
mv f g
mkdir -p a/b
cp g a/b/h
chmod 600 a/b/h
ln -s h a/b/l
cat a/b/l | tail -1
echo more >> g
tail -2 g
truncate -s 5 g
mv -f g a/b/h
stat -c '%s %A' a/b/h
rm a/b/l
ls a/b
rm -r a
ls | wc -l
`
	out, err := exec.Command("sh", "-c", script, at).CombinedOutput()
	if want := "100000\n100000\nmore\n5 -rw-r--r--\nh\n0\n"; err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q; %s", err, out, want, said)
	}
}

// The same programs, for which a link named ssh is ssh.
func TestSFTPThroughTheLinkNamedSSH(t *testing.T) {
	need(t, "sftp", "scp")
	dir := served(t)
	h := startHost(t, policed(map[string]object{"commands": {"commands": []string{"true"}}}))
	link, config := filepath.Join(h.dir, "ssh"), filepath.Join(h.dir, "config", "shellagent")
	if err := os.Symlink(agentBin, link); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(h.client, filepath.Join(config, "config.json")); err != nil {
		t.Fatal(err)
	}
	call := func(stdin string, line ...string) result {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, line[0], line[1:]...)
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = strings.NewReader(stdin), &stdout, &stderr, h.env()
		return h.finish(cmd.Run(), cmd, &stdout, &stderr)
	}
	if got := call("", link, "-oStrictHostKeyChecking=accept-new", "myhost", "true"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	in := dir + "/in"
	for _, line := range [][]string{
		{"sftp", "-S", link, "-b", "-", "debug@myhost"},
		{"scp", "-S", link, h.key + ".pub", "debug@myhost:" + in + "/b"},
		{"scp", "-S", link, "myhost:" + in + "/b", h.dir + "/c"},
	} {
		if got := call("put "+h.key+".pub "+in+"/a\n", line...); got.code != 0 {
			t.Errorf("%q: %+v", line, got)
		}
	}
	for _, name := range []string{in + "/a", in + "/b", h.dir + "/c"} {
		if got, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(got)) != h.publicKey(h.key) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for want, line := range map[string][]string{
		"there is one subsystem, sftp":   {link, "-s", "myhost", "netconf"},
		"the source does not allow sftp": {link, "commands@myhost", "-s", "sftp"},
	} {
		if got := call("", line...); got.code != 255 || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%q: %+v", line, got)
		}
	}
}
