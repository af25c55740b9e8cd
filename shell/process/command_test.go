package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shellagent/shell"
)

// files makes programs in a directory that everybody may enter.
func files(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shellagent-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range programs {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
		err := os.WriteFile(file, []byte(text), 0o755)
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCommandsThatCannotBeStarted(t *testing.T) {
	dir := files(t, map[string]string{
		"bin/plain":     "#!/bin/sh\necho plain\n",
		"bin/lost":      "#!/no/such/interpreter\n",
		"bin/shapeless": "no program\n",
		"bin/both":      "#!/bin/sh\necho first\n",
		"bin2/both":     "#!/bin/sh\necho second\n",
		"bin2/late":     "#!/bin/sh\necho late\n",
		"bin/late/x":    "",
		"here":          "#!/bin/sh\necho here\n",
	})
	if err := os.Chmod(dir+"/bin/plain", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/bin/both", 0o644); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, HostConfig{})
	for _, c := range []struct {
		path, out, message string
		kind               error
	}{
		{"nope", "", "nope: command not found", ErrNotFound},
		{"/no/such/file", "", "/no/such/file: command not found", ErrNotFound},
		{"bin/plain/below", "", "bin/plain/below: command not found", ErrNotFound},
		{"plain", "", "plain: permission denied", ErrNotExecutable},
		{"/etc/passwd", "", "/etc/passwd: permission denied", ErrNotExecutable},
		{"/etc", "", "/etc: is a directory", ErrNotExecutable},
		{"lost", "", "lost: its interpreter was not found", ErrNotExecutable},
		{"shapeless", "", "shapeless: neither a program for this machine nor a script with a #! line", ErrNotExecutable},
		{"/dev/null", "", "/dev/null: permission denied", ErrNotExecutable},
		{"", "", "start a program: it has no name", nil},
		{"both", "second\n", "", nil},
		{"late", "late\n", "", nil},
		{"./here", "here\n", "", nil},
		{"bin2/both", "second\n", "", nil},
		{"here", "here\n", "", nil}, // PATH ends with an empty entry
	} {
		t.Run(c.path, func(t *testing.T) {
			g := command(self(t), c.path)
			g.Dir, g.Env = dir, []string{"PATH=/no/such/dir:" + dir + "/bin:" + dir + "/bin2:"}
			p, err := h.Start(context.Background(), g, nil, Options{})
			if c.message == "" {
				if err != nil {
					t.Fatal(err)
				}
				if out := collect(p.Output(shell.FrameStdout)).awaitEnd(t); out != c.out {
					t.Errorf("%q, want %q", out, c.out)
				}
				p.Close()
				return
			}
			if err == nil || err.Error() != c.message || c.kind != nil && !errors.Is(err, c.kind) {
				t.Fatalf("%v, want %s", err, c.message)
			}
			want := map[error]int{ErrNotFound: 127, ErrNotExecutable: 126}[c.kind]
			if code, ok := ExitCode(err); code != want || ok != (c.kind != nil) {
				t.Errorf("exit code %d, %v", code, ok)
			}
		})
	}
}

func TestTooManyArguments(t *testing.T) {
	g := command(self(t), "echo", strings.Repeat("x", 1<<20))
	_, err := newHost(t, HostConfig{}).Start(context.Background(), g, nil, Options{})
	if !errors.Is(err, ErrNotExecutable) || err.Error() != "echo: argument list too long" {
		t.Error(err)
	}
}

// What root may execute is not what the user may.
func TestCommandsAreSearchedAsTheUser(t *testing.T) {
	who := other(t)
	dir := files(t, map[string]string{
		"secret/tool": "#!/bin/sh\necho secret\n",
		"open/tool":   "#!/bin/sh\necho open\n",
		"secret/only": "#!/bin/sh\necho secret\n",
	})
	if err := os.Chmod(dir+"/secret", 0o700); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, HostConfig{})
	g := command(who, "tool")
	g.Env = []string{"PATH=" + dir + "/secret:" + dir + "/open"}
	if out, _ := result(t, h, g, nil); out != "open\n" {
		t.Errorf("%q", out)
	}
	g.Path = "only"
	if _, err := h.Start(context.Background(), g, nil, Options{}); !errors.Is(err, ErrNotExecutable) || err.Error() != "only: permission denied" {
		t.Error(err)
	}
	g.Dir = dir + "/secret"
	if _, err := h.Start(context.Background(), g, nil, Options{}); err == nil || !strings.Contains(err.Error(), "permission denied: make it, or set workDir") {
		t.Error(err)
	}
	// The check changed nothing about the agent itself.
	if _, err := os.ReadDir(dir + "/secret"); err != nil {
		t.Error(err)
	}
}

func TestWorkingDirectory(t *testing.T) {
	h := newHost(t, HostConfig{})
	who := self(t)
	dir := files(t, map[string]string{"home/x": ""})
	ask := func(home, work string) shell.Grant {
		g := command(who, "pwd")
		g.Credential.Home, g.Dir = home, work
		return g
	}
	missing := "Could not chdir to home directory " + dir + "/none: no such file or directory\n"
	notDir := "Could not chdir to home directory " + dir + "/home/x: not a directory\n"
	for _, c := range []struct{ home, work, want string }{
		{dir + "/home", "", dir + "/home\n"},
		{dir + "/home", dir, dir + "\n"},
		{dir + "/none", "", "/\n" + missing},
		{dir + "/none", dir + "/none", "/\n" + missing},
		{dir + "/home/x", "", "/\n" + notDir},
		{"", "", "/\n"},
	} {
		if out, _ := result(t, h, ask(c.home, c.work), nil); out != c.want {
			t.Errorf("home %q, workDir %q: %q, want %q", c.home, c.work, out, c.want)
		}
	}
	if out, _ := result(t, h, ask(dir+"/none", ""), terminal80()); out != strings.TrimSuffix(missing, "\n")+"\r\n/\r\n" {
		t.Errorf("on a terminal: %q", out)
	}
	if _, err := h.Start(context.Background(), ask("/", dir+"/none"), nil, Options{}); err == nil || !strings.Contains(err.Error(), dir+"/none") {
		t.Errorf("a working directory that is missing: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Start(ctx, ask("/", ""), nil, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after its time: %v", err)
	}
}
