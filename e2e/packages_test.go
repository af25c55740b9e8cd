package e2e

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// debs are Debian packages that were built once for all tests.
type debs struct {
	dir  string // build/ARCH and the packages of make deb
	next string // the packages of a later version, amd64
}

var builtDebs struct {
	once sync.Once
	debs debs
	err  error
	out  []byte
}

// packages builds the packages as "make deb" does, but compressed less, and
// those of the next version for upgrades.
func packages(t *testing.T) debs {
	t.Helper()
	need(t, "make", "dpkg-deb")
	b := &builtDebs
	b.once.Do(func() {
		b.debs.dir = filepath.Join(filepath.Dir(agentBin), "deb")
		b.debs.next = filepath.Join(b.debs.dir, "next")
		make := exec.Command("make", "-C", "..", "deb", "DEB_DIR="+b.debs.dir, "VERSION=v1.2.3")
		make.Env = append(os.Environ(), "DEB_COMPRESSION=-Zgzip -z1", "MAKEFLAGS=")
		if b.out, b.err = make.CombinedOutput(); b.err == nil {
			make := exec.Command("make", "-C", "..", "deb", "DEB_ARCHS=amd64", "DEB_DIR="+b.debs.next, "VERSION="+nextVersion)
			make.Env = append(os.Environ(), "DEB_COMPRESSION=-Zgzip -z1", "MAKEFLAGS=")
			b.out, b.err = make.CombinedOutput()
		}
	})
	if b.err != nil {
		t.Fatalf("%v\n%s", b.err, b.out)
	}
	return b.debs
}

// nextVersion is a later one, as git describe tells it.
const nextVersion = "v1.3.0-rc.1-4-gabcdef"

// packDeb packs the programs in the directory bin.
func packDeb(bin, version, to string) ([]byte, error) {
	pack := exec.Command("../scripts/deb.sh", version, "amd64", bin, to)
	pack.Env = append(os.Environ(), "DEB_COMPRESSION=-Zgzip -z1")
	return pack.CombinedOutput()
}

func TestPackagesAreForBothArchitectures(t *testing.T) {
	d := packages(t)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		for _, name := range []string{"shellagent", "shellagent-client"} {
			deb := filepath.Join(d.dir, name+"_1.2.3_"+arch+".deb")
			root := t.TempDir()
			output(t, "dpkg-deb", "--extract", deb, root)
			if got := output(t, "dpkg-deb", "--field", deb, "Architecture"); got != arch+"\n" {
				t.Errorf("%s is for %q", deb, got)
			}
			file, err := elf.Open(filepath.Join(root, "usr/bin", name))
			if err != nil {
				t.Fatal(err)
			}
			if file.Machine != machine {
				t.Errorf("the binary in %s is for %v", deb, file.Machine)
			}
			if libraries, _ := file.ImportedLibraries(); len(libraries) > 0 {
				t.Errorf("the binary in %s needs %v", deb, libraries)
			}
			file.Close()
		}
	}
}

func TestPackagesHoldNoKeysAndOnlyRootsFiles(t *testing.T) {
	d := packages(t)
	for _, name := range []string{"shellagent", "shellagent-client"} {
		list := output(t, "dpkg-deb", "--contents", filepath.Join(d.dir, name+"_1.2.3_amd64.deb"))
		for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
			if !regexp.MustCompile(`^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx) root/root `).MatchString(line) {
				t.Errorf("%s: mode or owner of %s", name, line)
			}
			if regexp.MustCompile(`host_key|\.pub$|\.pem$`).MatchString(line) {
				t.Errorf("%s ships a key: %s", name, line)
			}
		}
		for _, file := range []string{"copyright", "changelog.gz"} {
			if !strings.Contains(list, "./usr/share/doc/"+name+"/"+file+"\n") {
				t.Errorf("%s has no %s", name, file)
			}
		}
		copyright := output(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$0" | tar -xO "./usr/share/doc/$1/copyright"`, filepath.Join(d.dir, name+"_1.2.3_amd64.deb"), name)
		for _, module := range []string{"github.com/spf13/cobra ", "golang.org/x/crypto ", "Redistributions in binary form"} {
			if !strings.Contains(copyright, module) {
				t.Errorf("%s: the copyright file lacks %q", name, module)
			}
		}
	}
}

func TestPackagesAreReproducible(t *testing.T) {
	d := packages(t)
	again := t.TempDir()
	if out, err := packDeb(filepath.Join(d.next, "build", "amd64"), nextVersion, again); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"shellagent", "shellagent-client"} {
		// The version is that of git describe, in Debian's order: a candidate
		// comes before what it is a candidate of.
		file := name + "_1.3.0~rc.1+4.gabcdef_amd64.deb"
		one, err := os.ReadFile(filepath.Join(d.next, file))
		if err != nil {
			t.Fatal(err)
		}
		two, err := os.ReadFile(filepath.Join(again, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, two) {
			t.Errorf("%s is not the same when it is packed again", file)
		}
	}
}

func TestPackagesFollowPolicy(t *testing.T) {
	need(t, "lintian")
	d := packages(t)
	files, err := filepath.Glob(filepath.Join(d.dir, "*_amd64.deb"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	lint := exec.CommandContext(t.Context(), "lintian", append([]string{"--allow-root", "--fail-on", "error,warning", "--info"}, files...)...)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// output runs a program that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}
