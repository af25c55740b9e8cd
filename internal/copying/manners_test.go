//go:build unix

package copying

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where things go: as cp has it.
func TestDestinations(t *testing.T) {
	for by, copy := range ways() {
		base := t.TempDir()
		from := base + "/from"
		write(t, from+"/d/f", "in d", 0o644)
		write(t, from+"/f", "f", 0o644)
		write(t, base+"/file", "a file", 0o644)
		for _, dir := range []string{"/dir", "/one", "/two"} {
			if err := os.Mkdir(base+dir, 0o750); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("dir", base+"/link"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			to      string
			sources []string
			into    bool
			arrives []string // below base
			fails   string
		}{
			{to: "/new", sources: []string{"/f"}, arrives: []string{"/new"}},
			{to: "/newdir", sources: []string{"/d"}, arrives: []string{"/newdir/f"}},
			{to: "/newer/", sources: []string{"/d/"}, arrives: []string{"/newer/f"}},
			{to: "/contents", sources: []string{"/d/."}, arrives: []string{"/contents/f"}},
			{to: "/dir", sources: []string{"/d", "/f"}, arrives: []string{"/dir/d/f", "/dir/f"}},
			{to: "/one", sources: []string{"/d/."}, arrives: []string{"/one/f"}},
			{to: "/link", sources: []string{"/f"}, arrives: []string{"/dir/f"}},
			{to: "/two/", sources: []string{"/d"}, arrives: []string{"/two/d/f"}},
			{to: "/file", sources: []string{"/f"}, arrives: []string{"/file"}},
			{to: "/file/", sources: []string{"/f"}, fails: "not a directory"},
			{to: "/file", sources: []string{"/f"}, into: true, fails: "not a directory"},
			{to: "/nodir/", sources: []string{"/f"}, fails: "no such directory"},
			{to: "/absent/f", sources: []string{"/f"}, fails: "no such file or directory"},
			{to: "/absent", sources: []string{"/f", "/d"}, into: true, fails: "not a directory"},
			{to: "/absent/.", sources: []string{"/d"}, fails: "not a directory"},
		} {
			var sources []string
			for _, s := range c.sources {
				sources = append(sources, from+s)
			}
			watch, err := copy(t, Options{Into: c.into}, base+c.to, sources...)
			if c.fails != "" {
				var refused *RefusedError
				if strings.Contains(strings.Join(watch.problems, "\n"), c.fails) {
					continue
				}
				if !errors.As(err, &refused) || !strings.Contains(refused.Text, c.fails) {
					t.Errorf("%s: %+v: %v, %+v", by, c, err, watch)
				}
				continue
			}
			if err != nil || len(watch.problems) > 0 {
				t.Errorf("%s: %+v: %v, %+v", by, c, err, watch)
			}
			for _, name := range c.arrives {
				if info, err := os.Stat(base + name); err != nil || !info.Mode().IsRegular() {
					t.Errorf("%s: %+v: %v, %v", by, c, info, err)
				}
			}
		}
		// What is copied into keeps what it is.
		for _, dir := range []string{"/dir", "/one", "/two"} {
			if info, err := os.Stat(base + dir); err != nil || info.Mode().Perm() != 0o750 {
				t.Errorf("%s: %s: %v, %v", by, dir, info, err)
			}
		}
	}
}

// What is in the way stays, with a word, and the rest goes on.
func TestWhatIsInTheWay(t *testing.T) {
	for by, copy := range ways() {
		base := t.TempDir()
		from, to := base+"/from", base+"/to"
		write(t, from+"/dir/f", "f", 0o644)
		write(t, from+"/dir2/f", "f", 0o644)
		write(t, from+"/file", "file", 0o644)
		write(t, from+"/large", strings.Repeat("l", 2*maxInline), 0o644)
		write(t, from+"/pipe", "file", 0o644)
		write(t, from+"/over a link", "new", 0o644)
		write(t, from+"/z", "z", 0o644)
		for _, name := range []string{"link", "link2"} {
			if err := os.Symlink("z", from+"/"+name); err != nil {
				t.Fatal(err)
			}
		}
		write(t, to+"/dir", "a file", 0o644)
		write(t, to+"/file/in/it", "x", 0o644)
		write(t, to+"/large/in/it", "x", 0o644)
		write(t, to+"/link/in/it", "x", 0o644)
		write(t, to+"/link2", "a file is replaced by a link", 0o644)
		write(t, to+"/outside/x", "x", 0o644)
		for name, target := range map[string]string{"dir2": "outside", "over a link": "outside/x"} {
			if err := os.Symlink(target, to+"/"+name); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mkfifo(to+"/pipe", 0o600); err != nil {
			t.Fatal(err)
		}
		watch, err := copy(t, Options{}, to, from+"/.")
		slices.Sort(watch.problems)
		want := []string{
			"dir2: " + errLinkInWay.Error(), "dir: " + errFileInWay.Error(), "file: " + errDirInWay.Error(),
			"large: " + errDirInWay.Error(), "link: " + errDirInWay.Error(), "pipe: " + errOddInWay.Error(),
		}
		if err != nil || !slices.Equal(watch.problems, want) {
			t.Errorf("%s: %v, %q, want %q", by, err, watch.problems, want)
		}
		for name, text := range map[string]string{"/z": "z", "/dir": "a file", "/outside/x": "x", "/over a link": "new", "/link2": "z"} {
			if got, err := os.ReadFile(to + name); err != nil || string(got) != text {
				t.Errorf("%s: %s is %q, %v", by, name, got, err)
			}
		}
		if _, err := os.Lstat(to + "/outside/f"); err == nil {
			t.Errorf("%s: something was written through a link", by)
		}
	}
}

// What is not a file is left out, and what is not there is said.
func TestWhatIsNotCopied(t *testing.T) {
	for by, copy := range ways() {
		base := t.TempDir()
		from := base + "/from"
		write(t, from+"/f", "f", 0o644)
		write(t, from+"/.f.agent-part", "begun", 0o600)
		if err := unix.Mkfifo(from+"/pipe", 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("pipe", from+"/to a pipe"); err != nil {
			t.Fatal(err)
		}
		for _, follow := range []bool{false, true} {
			watch, err := copy(t, Options{Follow: follow}, base+"/to", from+"/.")
			want := []string{".f.agent-part: " + errPart.Error(), "pipe: " + errSpecial.Error()}
			if follow {
				want = append(want, "to a pipe: "+errSpecial.Error())
			}
			slices.Sort(watch.warnings)
			if err != nil || len(watch.problems) > 0 || !slices.Equal(watch.warnings, want) {
				t.Errorf("%s: %v, %+v", by, err, watch)
			}
		}
		watch, err := copy(t, Options{Into: true}, base+"/to", from+"/nothing", from+"/pipe", from+"/f/", from+"/f")
		if err != nil || len(watch.problems) != 3 || watch.did[CopiedFile] != 1 {
			t.Errorf("%s: %v, %+v", by, err, watch)
		}
	}
}

// With Follow there are no links, and no way round and round.
func TestLinksThatAreFollowed(t *testing.T) {
	for by, copy := range ways() {
		base := t.TempDir()
		from, to := base+"/from", base+"/to"
		write(t, from+"/d/f", "f", 0o644)
		write(t, base+"/outside/large", strings.Repeat("l", 2*maxInline), 0o640)
		for name, target := range map[string]string{
			"file": "d/f", "dir": "d", "out": "../outside", "large": "../outside/large", "gone": "nowhere", "round": ".", "d/up": "..",
		} {
			if err := os.Symlink(target, from+"/"+name); err != nil {
				t.Fatal(err)
			}
		}
		watch, err := copy(t, Options{Follow: true, Count: true}, to, from)
		slices.Sort(watch.problems)
		want := []string{"gone: no such file or directory", "round: " + errLoop.Error(), "up: " + errLoop.Error(), "up: " + errLoop.Error()}
		if err != nil || !slices.Equal(watch.problems, want) {
			t.Errorf("%s: %v, %q", by, err, watch.problems)
		}
		for name, size := range map[string]int64{"/file": 1, "/d/f": 1, "/dir/f": 1, "/out/large": 2 * maxInline, "/large": 2 * maxInline} {
			if info, err := os.Lstat(to + name); err != nil || !info.Mode().IsRegular() || info.Size() != size {
				t.Errorf("%s: %s: %v, %v", by, name, info, err)
			}
		}
	}
}

func TestPatterns(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"a.log", "b.log", ".hidden.log", "c.txt", "x/1.log", "y/2.log", "y/.z/3.log", "lit[e]ral"} {
		write(t, base+"/"+name, name, 0o644)
	}
	s := Served{Place: Everywhere{}, Start: base, Home: base + "/x"}
	for pattern, want := range map[string][]string{
		"*.log": {"a.log", "b.log"}, ".*.log": {".hidden.log"}, "?.txt": {"c.txt"}, "[ab].log": {"a.log", "b.log"}, "*/*.log": {"1.log", "2.log"},
		base + "/*/*.log": {"1.log", "2.log"}, base + "//x//*.log": {"1.log"}, "~/*.log": {"1.log"}, "*/": {"x", "y"}, "lit[e]ral": {"lit[e]ral"}, "y/.*/3*": {"3.log"},
		"*.none": nil, "[": nil, "/nonexistent/*": nil,
	} {
		to := t.TempDir()
		_, err := pull(t, s, Options{}, to, pattern)
		var refused *RefusedError
		if (want == nil) != errors.As(err, &refused) || want != nil && err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		list, _ := os.ReadDir(to)
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: %q, want %q", pattern, names, want)
		}
	}
	// Several things are not copied to one name.
	if _, err := pull(t, s, Options{}, filepath.Join(t.TempDir(), "new"), "*.log"); err == nil {
		t.Error("two files were copied to one name")
	}
}

func TestWhatAServerRefuses(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/f", "f", 0o644)
	s := everywhere(base)
	s.ReadOnly = true
	var refused *RefusedError
	if _, err := push(t, s, Options{}, "new", base+"/f"); !errors.As(err, &refused) || !strings.Contains(refused.Text, "to read and not to write") {
		t.Errorf("%v", err)
	}
	if _, err := pull(t, s, Options{}, t.TempDir(), "f"); err != nil {
		t.Error(err)
	}
	if list, _ := os.ReadDir(base); len(list) != 1 {
		t.Errorf("there is %v", list)
	}
	if _, err := pull(t, s, Options{}, t.TempDir(), strings.Repeat("x", maxText+1)); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}

// A place that ends somewhere ends there for copies, too.
func TestAPlaceEndsWhereItEnds(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/in/f", "f", 0o644)
	write(t, base+"/out/secret", "secret", 0o644)
	for name, target := range map[string]string{"up": "../out", "abs": base + "/out", "file": "../out/secret"} {
		if err := os.Symlink(target, base+"/in/"+name); err != nil {
			t.Fatal(err)
		}
	}
	s := Served{Place: below(t, base+"/in"), Start: "/", Home: "/"}
	to := t.TempDir()
	for _, o := range []Options{{}, {Follow: true}} {
		for _, source := range []string{"/.", "/up/", "/abs/secret", "/../out/secret", "/file", base + "/out/secret", "/up/*"} {
			_, _ = pull(t, s, o, to, source)
		}
	}
	err := filepath.WalkDir(to, func(path string, e os.DirEntry, err error) error {
		if e.Type().IsRegular() && e.Name() != "f" {
			t.Errorf("%s was copied", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	write(t, base+"/from/new", "new", 0o644)
	for _, dest := range []string{"/up/new", "/abs/new", "/../out/new", "/up", "/file"} {
		_, _ = push(t, s, Options{}, dest, base+"/from/new")
	}
	if list, _ := os.ReadDir(base + "/out"); len(list) != 1 {
		t.Errorf("there is %v", list)
	}
	if got, _ := os.ReadFile(base + "/out/secret"); string(got) != "secret" {
		t.Errorf("the secret is %q", got)
	}
}

func TestNamesOfParts(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a", strings.Repeat("n", 243), strings.Repeat("n", 244), strings.Repeat("n", 255), strings.Repeat("n", 254) + "m", strings.Repeat("ö", 127), strings.Repeat("\xff", 255)} {
		part := partName(name)
		if len(part) > maxName || !isPart(part) || seen[part] != "" || checkName(part) == nil || checkName(name) != nil {
			t.Errorf("%q becomes %q, as %q does", name, part, seen[part])
		}
		seen[part] = name
	}
}
