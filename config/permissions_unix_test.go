//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestCheckPermissions(t *testing.T) {
	dir := t.TempDir()
	inside := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for name, mode := range map[string]os.FileMode{"safe": 0o755, "open": 0o777, "sticky": 0o777 | os.ModeSticky, "group": 0o775} {
		if err := os.Mkdir(inside(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(inside(name), mode); err != nil {
			t.Fatal(err)
		}
		write(t, inside(name, "key.pub"), 0o644)
	}
	write(t, inside("safe", "world.pub"), 0o646)
	write(t, inside("safe", "group.pub"), 0o664)
	for link, target := range map[string]string{
		"to-safe": "safe/key.pub", "to-open": inside("open", "key.pub"), "to-dir": "open/../safe",
		"open/to-safe": "../safe/key.pub", "loop": "loop",
	} {
		if err := os.Symlink(target, inside(link)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ path, want string }{
		{"safe/key.pub", ""},
		{"sticky/key.pub", ""},
		{"to-safe", ""},
		{"safe/world.pub", "world.pub is writable by others (mode 0646); chmod go-w it"},
		{"safe/group.pub", "group.pub is writable by others (mode 0664); chmod go-w it"},
		{"open/key.pub", "open is writable by others (mode 0777); chmod go-w it"},
		{"group/key.pub", "group is writable by others (mode 0775); chmod go-w it"},
		{"to-open", "open is writable by others"},
		{"to-dir/key.pub", "open is writable by others"},
		{"open/to-safe", "open is writable by others"},
		{"loop", "too many symbolic links"},
		{"none", "no such file"},
	}
	for _, tt := range tests {
		err := CheckPermissions(inside(tt.path))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.path, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %s", tt.path, err, tt.want)
		}
		if _, err := ReadTrusted(inside(tt.path)); (err == nil) != (tt.want == "") {
			t.Errorf("ReadTrusted(%s): %v", tt.path, err)
		}
	}
}

func TestCheckPermissionsOfAForeignOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives a file to another user")
	}
	path := filepath.Join(t.TempDir(), "key.pub")
	write(t, path, 0o644)
	if err := os.Chown(path, 12345, 0); err != nil {
		t.Fatal(err)
	}
	if err := CheckPermissions(path); err == nil || !strings.Contains(err.Error(), "belongs to uid 12345") {
		t.Errorf("got %v", err)
	}
}

func TestReadDoesNotWaitOnAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, new(example)); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("got %v", err)
	}
}
