package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOwnProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "agent")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "relative:"+dir)
	for argv0, want := range map[string]string{
		self:          self,
		link:          link, // which may lead to the next version
		"agent":       link,
		"-bash":       self, // whatever it was called
		"/no/such":    self,
		"/etc/passwd": self,
	} {
		if p, err := ownProgram(argv0); err != nil || p.path != want {
			t.Errorf("%s: %q, %v; want %q", argv0, p.path, err, want)
		}
	}
}

func TestReplaced(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "agent")
	p := program{path: link}
	point := func(to string) {
		t.Helper()
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	if _, replaced := p.replaced(); replaced {
		t.Error("a program that is not there replaced this one")
	}
	point(self)
	if _, replaced := p.replaced(); replaced {
		t.Error("this program replaced itself")
	}
	point("/bin/true")
	if info, replaced := p.replaced(); !replaced || info == nil {
		t.Error("another program is not noticed")
	}
	if _, replaced := (program{}).replaced(); replaced {
		t.Error("a program without a name was replaced")
	}
}

func script(t *testing.T, text string) successor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "next")
	syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
	err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return successor{path: path, info: info}
}

func TestTryingAProgramIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"answers":            {`echo "$1 $2"; cat`, ""},
		"says a lot":         {`i=0; while [ $i -lt 5000 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 3`, "exit status 3"},
		"prints a lot":       {`exec head -c 1000000 /dev/zero`, "broken pipe"},
		"never ends":         {`exec sleep 100`, "deadline"},
		"leaves a child":     {`sleep 100 & exit 0`, "deadline"},
		"closes and goes on": {`exec >&- 2>&-; sleep 100`, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if c.want != "deadline" {
				ctx = t.Context()
			}
			began := time.Now()
			out, err := script(t, c.text).run(ctx, nil, "check", "-c")
			switch {
			case c.want == "" && (err != nil || string(out) != "check -c\n"):
				t.Errorf("%q, %v", out, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 2*maxProbeErr):
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	if _, err := (successor{path: "/no/such"}).run(t.Context(), nil, "check"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestSameProgram(t *testing.T) {
	s := script(t, "true")
	if err := s.same(); err != nil {
		t.Error(err)
	}
	if err := os.Chtimes(s.path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if s.same() == nil {
		t.Error("a change is not noticed")
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	if s.same() == nil {
		t.Error("that it is gone is not noticed")
	}
}
