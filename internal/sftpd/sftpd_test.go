package sftpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"shellagent/shell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve has a client talk to a server with the given rights.
func serve(t *testing.T, rights shell.Files, start string) *sftp.Client {
	t.Helper()
	fromServer, toServer, ended := served(t, rights, start)
	c, err := sftp.NewClientPipe(fromServer, toServer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := ended(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return c
}

// served is a server that ends with what is sent to it, and then says why.
func served(t *testing.T, rights shell.Files, start string) (fromServer io.Reader, toServer io.WriteCloser, ended func() error) {
	t.Helper()
	in, to := io.Pipe()
	from, out := io.Pipe()
	over := make(chan struct{})
	var err error
	go func() {
		defer close(over)
		err = Serve(in, out, rights, start)
		out.Close()
	}()
	ended = func() error {
		to.Close()
		_, _ = io.Copy(io.Discard, from)
		<-over
		return err
	}
	t.Cleanup(func() { _ = ended() })
	return from, to, ended
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// kinds are the rights under which everything below dir may be done.
func kinds(dir string) map[string]shell.Files {
	return map[string]shell.Files{"whole": {}, "rooted": {Paths: []string{dir}}}
}

func TestFiles(t *testing.T) {
	base := t.TempDir()
	for name, rights := range kinds(base) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(base, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			c := serve(t, rights, dir)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Error(err)
				}
			}
			at := func(s string) string { return filepath.Join(dir, s) }
			if here, err := c.Getwd(); err != nil || here != dir {
				t.Errorf("starts in %s, %v", here, err)
			}
			must(c.Mkdir(at("d")))
			data := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
			f, err := c.Create(at("d/f"))
			must(err)
			_, err = f.Write(data)
			must(err)
			must(f.Close())
			if got, err := os.ReadFile(at("d/f")); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes arrived, %v", len(got), err)
			}
			must(c.Chmod(at("d/f"), 0o640))
			when := time.Unix(1_500_000_000, 0)
			must(c.Chtimes(at("d/f"), when, when))
			must(c.Truncate(at("d/f"), 5))
			must(c.Chtimes(at("d/f"), when, when))
			info, err := c.Stat(at("d/f"))
			if err != nil || info.Mode() != 0o640 || info.Size() != 5 || !info.ModTime().Equal(when) {
				t.Errorf("%+v, %v", info, err)
			}
			must(c.Link(at("d/f"), at("d/g")))
			must(c.Remove(at("d/g")))
			write(t, at("d/g"), "there")
			must(c.Symlink("f", at("d/s")))
			if to, err := c.ReadLink(at("d/s")); err != nil || to != "f" {
				t.Errorf("the link says %q, %v", to, err)
			}
			if info, err := c.Lstat(at("d/s")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("%+v, %v", info, err)
			}
			if err := c.Rename(at("d/f"), at("d/g")); err == nil {
				t.Error("a rename replaced a file")
			}
			must(c.PosixRename(at("d/f"), at("d/g")))
			must(c.Rename(at("d/g"), at("d/h")))
			f, err = c.OpenFile(at("d/h"), os.O_WRONLY|os.O_APPEND)
			must(err)
			_, err = f.Write([]byte("more"))
			must(err)
			must(f.Close())
			if got, _ := os.ReadFile(at("d/h")); string(got) != "01234more" {
				t.Errorf("appended: %q", got)
			}
			for i := range 250 {
				write(t, at(fmt.Sprintf("many/%03d", i)), "")
			}
			list, err := c.ReadDir(at("many"))
			if err != nil || len(list) != 250 {
				t.Errorf("%d of 250 files are listed, %v", len(list), err)
			}
			if st, err := c.StatVFS(dir); err != nil || st.Blocks == 0 {
				t.Errorf("%+v, %v", st, err)
			}
			if err := c.RemoveDirectory(at("d/h")); err == nil {
				t.Error("rmdir removed a file")
			}
			must(c.Remove(at("d/h")))
			must(c.Remove(at("d/s")))
			must(c.RemoveDirectory(at("d")))
			if _, err := c.Stat(at("d")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is not there: %v", err)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	write(t, file, "text")
	for name, rights := range kinds(dir) {
		rights.ReadOnly = true
		c := serve(t, rights, dir)
		for what, do := range map[string]func() error{
			"create":       func() error { _, err := c.Create(filepath.Join(dir, "n")); return err },
			"write":        func() error { _, err := c.OpenFile(file, os.O_WRONLY); return err },
			"read, write":  func() error { _, err := c.OpenFile(file, os.O_RDWR); return err },
			"append":       func() error { _, err := c.OpenFile(file, os.O_APPEND); return err },
			"truncate":     func() error { return c.Truncate(file, 0) },
			"open empties": func() error { _, err := c.OpenFile(file, os.O_RDONLY|os.O_TRUNC); return err },
			"chmod":        func() error { return c.Chmod(file, 0o777) },
			"chown":        func() error { return c.Chown(file, 0, 0) },
			"chtimes":      func() error { return c.Chtimes(file, time.Unix(0, 0), time.Unix(0, 0)) },
			"mkdir":        func() error { return c.Mkdir(filepath.Join(dir, "d")) },
			"remove":       func() error { return c.Remove(file) },
			"rmdir":        func() error { return c.RemoveDirectory(dir) },
			"rename":       func() error { return c.Rename(file, file+"2") },
			"posix-rename": func() error { return c.PosixRename(file, file+"2") },
			"link":         func() error { return c.Link(file, file+"2") },
			"symlink":      func() error { return c.Symlink("f", file+"2") },
		} {
			if err := do(); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		f, err := c.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != "text" {
			t.Errorf("%s: read %q, %v", name, got, err)
		}
		f.Close()
		if list, _ := os.ReadDir(dir); len(list) != 1 {
			t.Errorf("%s: there is %v now", name, list)
		}
	}
}

// TestNothingLeadsOut tries every way from what is served to what is not.
func TestNothingLeadsOut(t *testing.T) {
	base := t.TempDir()
	in, other, secret := filepath.Join(base, "in"), filepath.Join(base, "other", "deep"), filepath.Join(base, "secret")
	write(t, filepath.Join(in, "f"), "in")
	write(t, filepath.Join(other, "g"), "other")
	write(t, filepath.Join(secret, "s"), "secret")
	write(t, filepath.Join(base, "inside"), "a name that begins alike")
	for name, to := range map[string]string{
		"abs": filepath.Join(secret, "s"), "rel": "../secret/s", "dir": "../secret", "absdir": secret, "loop": "loop", "up": "..",
		"proc": "/proc/self/root" + secret, "self": in,
	} {
		if err := os.Symlink(to, filepath.Join(in, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := serve(t, shell.Files{Paths: []string{in, other}}, "/")
	if here, err := c.Getwd(); err != nil || here != in {
		t.Errorf("starts in %s, %v", here, err)
	}
	outside := []string{
		secret + "/s", in + "/../secret/s", base + "/inside", in + "/abs", in + "/rel", in + "/dir/s", in + "/absdir/s", in + "/loop", in + "/up/secret/s",
		in + "/proc", in + "/self/f", "/etc/passwd", "/proc/self/environ", "relative/../../secret/s", in + "x",
	}
	for _, name := range outside {
		for what, do := range map[string]func() error{
			"read":    func() error { _, err := c.Open(name); return err },
			"write":   func() error { _, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC); return err },
			"stat":    func() error { _, err := c.Stat(name); return err },
			"chmod":   func() error { return c.Chmod(name, 0o777) },
			"chtimes": func() error { return c.Chtimes(name, time.Unix(0, 0), time.Unix(0, 0)) },
			"trunc":   func() error { return c.Truncate(name, 0) },
			"list":    func() error { _, err := c.ReadDir(name); return err },
			"statvfs": func() error { _, err := c.StatVFS(name); return err },
			"link in": func() error { return c.Link(name, in+"/stolen") },
		} {
			if strings.HasSuffix(name, "/abs") && what == "link in" || filepath.Dir(name) == in && what == "link in" {
				continue // a link to the link itself is within
			}
			if err := do(); err == nil {
				t.Errorf("%s %s succeeded", what, name)
			}
		}
	}
	for what, do := range map[string]func() error{
		"rename out":     func() error { return c.Rename(in+"/f", secret+"/f") },
		"rename through": func() error { return c.Rename(in+"/f", in+"/dir/f") },
		"rename in":      func() error { return c.PosixRename(secret+"/s", in+"/s") },
		"rename across":  func() error { return c.Rename(in+"/f", other+"/f") },
		"mkdir out":      func() error { return c.Mkdir(secret + "/d") },
		"mkdir through":  func() error { return c.Mkdir(in + "/dir/d") },
		"symlink out":    func() error { return c.Symlink("x", secret+"/l") },
		"remove out":     func() error { return c.Remove(secret + "/s") },
		"remove through": func() error { return c.Remove(in + "/dir/s") },
		"mkdir above":    func() error { return c.Mkdir(base + "/d") },
		"remove above":   func() error { return c.RemoveDirectory(base + "/other") },
	} {
		if err := do(); err == nil {
			t.Errorf("%s succeeded", what)
		}
	}
	// Whoever makes a link that leads out gets no further by it.
	if err := c.Symlink(secret, in+"/mine"); err != nil {
		t.Error(err)
	}
	if _, err := c.Open(in + "/mine/s"); err == nil {
		t.Error("a link of the client's own leads out")
	}
	if got, err := os.ReadFile(secret + "/s"); err != nil || string(got) != "secret" {
		t.Errorf("the secret is %q now, %v", got, err)
	}
	for dir, want := range map[string][]string{base: {"in", "other"}, filepath.Join(base, "other"): {"deep"}, other: {"g"}} {
		list, err := c.ReadDir(dir)
		var names []string
		for _, info := range list {
			names = append(names, info.Name())
		}
		slices.Sort(names)
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("%s lists %q, %v", dir, names, err)
		}
		if info, err := c.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("%s: %+v, %v", dir, info, err)
		}
	}
}

// TestSpecialFilesAreNotOpened: a pipe would keep a worker for ever.
func TestSpecialFilesAreNotOpened(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	c := serve(t, shell.Files{}, dir)
	for _, name := range []string{pipe, "/dev/null", "/dev/zero", dir} {
		if _, err := c.Open(name); err == nil {
			t.Errorf("%s was opened", name)
		}
		if _, err := c.OpenFile(name, os.O_RDWR); err == nil {
			t.Errorf("%s was opened to write", name)
		}
	}
}

func TestWhatCannotBeServedIsSaid(t *testing.T) {
	err := Serve(strings.NewReader(""), nil, shell.Files{Paths: []string{"/nonexistent/dir"}}, "/")
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/dir") {
		t.Errorf("%v", err)
	}
}

// FuzzServe: whatever is sent, the server ends, and touches nothing outside.
func FuzzServe(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05\x01\x00\x00\x00\x03"))
	f.Add([]byte("\x00\x00\x00\x05\x01\x00\x00\x00\x03\x00\x00\x00\x0d\x0b\x00\x00\x00\x01\x00\x00\x00\x04/tmp"))
	f.Add([]byte("\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		dir := t.TempDir()
		_ = Serve(bytes.NewReader(in), discard{}, shell.Files{Paths: []string{dir}}, dir)
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }
