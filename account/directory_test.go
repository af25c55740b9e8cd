package account

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fake returns a directory over files in a temporary place, with a getent that
// runs the given shell script, or with none.
func fake(t *testing.T, script string) *Directory {
	t.Helper()
	d := NewDirectory()
	d.etc = t.TempDir()
	d.getent = nil
	d.euid = 0
	put(t, d, "passwd", "root:x:0:0:root:/root:/bin/bash\nalice:x:1001:1001:Alice,,,:/home/alice:/bin/zsh\nbare:x:1002:1002:::\n")
	put(t, d, "group", "root:x:0:\nwheel:x:10:root,alice\nalice:x:1001:\noperator:x:37:bob,alice\n")
	put(t, d, "shadow", "root:*:19000:0:99999:7:::\nalice:!x:19000:0:99999:7:::\nbare:$6$x:19000:0:99999:7::100:\n")
	if script != "" {
		path := filepath.Join(d.etc, "getent")
		syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
		err := os.WriteFile(path, []byte("#!/bin/sh\ncd "+d.etc+"\n"+script+"\n"), 0o700)
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
		d.getent = []string{"/nonexistent/getent", path}
	}
	return d
}

func put(t *testing.T, d *Directory, name, text string) {
	t.Helper()
	path := filepath.Join(d.etc, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAnswerWhereThereIsNoGetent(t *testing.T) {
	for name, script := range map[string]string{"no getent": "", "getent without this database": `echo "Unknown database: $1" >&2; exit 1`} {
		t.Run(name, func(t *testing.T) {
			d, ctx := fake(t, script), t.Context()
			u, err := d.Lookup(ctx, "alice")
			if err != nil || u.UID != 1001 || u.Home != "/home/alice" || u.Shell != "/bin/zsh" || u.Gecos != "Alice,,," {
				t.Errorf("Lookup = %+v, %v", u, err)
			}
			if g, err := d.Groups(ctx, "alice", 1001); err != nil || !slices.Equal(g, []uint32{1001, 10, 37}) {
				t.Errorf("Groups = %v, %v", g, err)
			}
			if g, err := d.LookupGroup(ctx, "operator"); err != nil || g.GID != 37 {
				t.Errorf("LookupGroup = %v, %v", g, err)
			}
			if s, err := d.Status(ctx, "alice"); err != nil || !s.Locked || s.Expired {
				t.Errorf("Status = %v, %v", s, err)
			}
			if _, err := d.Lookup(ctx, "mallory"); !errors.Is(err, ErrUnknown) {
				t.Errorf("unknown user: %v", err)
			}
			if _, err := d.LookupGroup(ctx, "none"); !errors.Is(err, ErrUnknown) {
				t.Errorf("unknown group: %v", err)
			}
			d.uid = 1001
			if u, err := d.Self(ctx); err != nil || u.Name != "alice" {
				t.Errorf("Self = %+v, %v", u, err)
			}
			d.uid = 4242
			if _, err := d.Self(ctx); !errors.Is(err, ErrUnknown) {
				t.Errorf("Self of an unknown number: %v", err)
			}
		})
	}
}

func TestAnswersThatMustNotBeBelieved(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"another name", `echo "alice:x:1001:1001::/:/bin/sh"`, `the host calls it "alice"`},
		{"too few fields", `echo "Alice:x:1001"`, "not one of the password database"},
		{"no number", `echo "Alice:x:-1:1001::/:/bin/sh"`, `number "-1" is not one`},
		{"the number that changes nothing", `echo "Alice:x:4294967295:1::/:/bin/sh"`, "4294967295"},
		{"a failure", `echo "no server" >&2; exit 3`, "no server"},
		{"too much", `yes aaaaaaaaaaaaaaaa | head -c 3000000`, "more than 1048576 bytes"},
		{"nothing", `exit 0`, "unknown to this host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fake(t, tt.script).Lookup(t.Context(), "Alice")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestASlowDirectoryServerIsGivenUp(t *testing.T) {
	d := fake(t, `echo $$ >pid; exec sleep 60`)
	d.timeout = 200 * time.Millisecond
	began := time.Now()
	_, err := d.Lookup(t.Context(), "alice")
	if err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "did not answer within 200ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestACallerMayLeaveBeforeTheAnswer(t *testing.T) {
	d := fake(t, `exec sleep 60`)
	d.timeout = 500 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Lookup(ctx, "alice"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The question itself ends by its own timeout, or goleak complains.
	if _, err := d.Lookup(t.Context(), "alice"); err == nil {
		t.Error("the sleeping getent answered")
	}
}

// counting answers from the files and leaves a line in the file "asked".
const counting = `echo "$1 $2" >>asked; [ "$1" = initgroups ] && { echo "$2 10 37 10"; exit; }; grep "^$2:" "$1" || exit 2`

func asked(t *testing.T, d *Directory) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.etc, "asked"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

func TestAnswersAreRememberedUntilTheyAreOldOrAFileChanges(t *testing.T) {
	d, ctx := fake(t, counting), t.Context()
	now := time.Now()
	d.now = func() time.Time { return now }
	look := func(want int) {
		t.Helper()
		if _, err := d.Lookup(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Lookup(ctx, "mallory"); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
		if got := asked(t, d); got != want {
			t.Errorf("asked %d times, want %d", got, want)
		}
	}
	look(2)
	look(2)
	now = now.Add(keepUnknown)
	look(3)
	now = now.Add(keep)
	look(5)
	put(t, d, "passwd", "alice:x:7:7::/:/bin/sh\n")
	look(7)
	if u, err := d.Lookup(ctx, "alice"); err != nil || u.UID != 7 {
		t.Errorf("after the change: %+v, %v", u, err)
	}
}

func TestWhatIsReturnedIsTheCallers(t *testing.T) {
	d, ctx := fake(t, counting), t.Context()
	for range 2 {
		u, err := d.Lookup(ctx, "alice")
		if err != nil || u.UID != 1001 {
			t.Fatalf("%+v, %v", u, err)
		}
		u.UID = 0
		g, err := d.Groups(ctx, "alice", 1001)
		if err != nil || !slices.Equal(g, []uint32{1001, 10, 37}) {
			t.Fatalf("%v, %v", g, err)
		}
		g[0], g[1] = 0, 0
	}
}

func TestManyAskersAskOnce(t *testing.T) {
	d, ctx := fake(t, counting), t.Context()
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := d.Lookup(ctx, "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := asked(t, d); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestFailuresAreNotRemembered(t *testing.T) {
	d, ctx := fake(t, `[ -e ready ] || exit 3; grep "^$2:" "$1"`), t.Context()
	if _, err := d.Lookup(ctx, "alice"); err == nil || errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(d.etc, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lookup(ctx, "alice"); err != nil {
		t.Error(err)
	}
}

// A getent that cannot be started, as when no process can be forked, says nothing
// about anybody.
func TestAGetentThatCannotBeStarted(t *testing.T) {
	d, ctx := fake(t, `exit 2`), t.Context()
	if err := os.WriteFile(d.getent[1], []byte("no program\x00"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lookup(ctx, "alice"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("user: %v", err)
	}
	if _, err := d.LookupGroup(ctx, "wheel"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("group: %v", err)
	}
	if _, err := d.Status(ctx, "alice"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("status: %v", err)
	}
}

func TestNamesThatAreNeverLookedUp(t *testing.T) {
	d := fake(t, `echo "$2:x:0:0::/root:/bin/sh"`)
	for _, name := range []string{"", "0", "1000", "-s", "--help", "a b", "a:b", "a\nb", "../x", "a/b", "é", "$", strings.Repeat("a", 256), ".a", "a$b"} {
		if u, err := d.Lookup(t.Context(), name); !errors.Is(err, ErrUnknown) {
			t.Errorf("Lookup(%q) = %+v, %v", name, u, err)
		}
		if _, err := d.LookupGroup(t.Context(), name); !errors.Is(err, ErrUnknown) {
			t.Errorf("LookupGroup(%q): %v", name, err)
		}
		if _, err := d.Groups(t.Context(), name, 1); !errors.Is(err, ErrUnknown) {
			t.Errorf("Groups(%q): %v", name, err)
		}
	}
	for _, name := range []string{"a", "_apt", "systemd-network", "7zip", "alice@example.org", "host$", "A.b+c"} {
		if _, err := d.Lookup(t.Context(), name); err != nil {
			t.Errorf("Lookup(%q): %v", name, err)
		}
	}
}

func TestStatusIsForRootToKnow(t *testing.T) {
	d := fake(t, "")
	d.euid = 1000
	if s, err := d.Status(t.Context(), "alice"); err != nil || s != (State{}) {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestShells(t *testing.T) {
	d := fake(t, "")
	if s, err := d.Shells(); err != nil || !slices.Contains(s, "/bin/sh") {
		t.Errorf("without the file: %v, %v", s, err)
	}
	put(t, d, "shells", "# comment\n/bin/sh\n\n  /bin/bash # our own\nnologin\n")
	if s, err := d.Shells(); err != nil || !slices.Equal(s, []string{"/bin/sh", "/bin/bash"}) {
		t.Errorf("got %v, %v", s, err)
	}
}
