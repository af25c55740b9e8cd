package sources

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"shellagent/account"
	"shellagent/shell"
)

// TestARealVerifyCommand runs a program: as its own user when the test is root.
func TestARealVerifyCommand(t *testing.T) {
	key, line := newKey(t, "")
	dir := t.TempDir()
	// The program's user has to reach it.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "verify")
	script := `#!/bin/sh
read -r token
[ "$token" = good.token.signature ] || { echo "not this one" >&2; exit 3; }
[ "$1" = --flag ] && [ $# = 1 ] || exit 4
printf '{"key": "` + line + `", "subject": "alice", "uid": "%s"}' "$(id -u)"
`
	syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
	err := os.WriteFile(program, []byte(script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	h := host()
	user, uid := "", os.Geteuid()
	h.self = account.User{Name: "me", UID: uint32(uid), GID: uint32(os.Getegid())}
	h.users["me"] = h.self
	if uid == 0 {
		user, uid = "verify", 65534
		h.users["verify"] = account.User{Name: "verify", UID: 65534, GID: 65534}
	}
	p := mustParse(t, `{"sources": {"s": {"verifyCommands": [{"command": ["`+program+`", "--flag"], "user": "`+user+`"}]`+rootUser(h)+`}}}`, nil, Options{Accounts: h})
	remote := netip.MustParseAddr("192.0.2.7")
	v, err := p.UnknownKey(t.Context(), "s", "good.token.signature", key.Thumbprint(), remote)
	if err != nil || v.Subject != "alice" || v.Claims["uid"] != strconv.Itoa(uid) || !v.Key.Equal(key) {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := p.UnknownKey(t.Context(), "s", "bad.token.signature", key.Thumbprint(), remote); reasonOf(err) != shell.ReasonVerifyCommand || !strings.Contains(err.Error(), "not this one") {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(program, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := parse(t, `{"verifyCommands": [{"command": ["`+program+`"], "user": "`+user+`"}]}`, nil, Options{Accounts: h}); err == nil || !strings.Contains(err.Error(), "writable by others") {
		t.Errorf("a program that others may write: %v", err)
	}
}

// rootUser is the user that a source needs when the agent is root.
func rootUser(h *people) string {
	if h.self.UID == 0 {
		return `, "exec": {"user": "alice"}`
	}
	return ""
}

// TestARealUser decides about a user of this host.
func TestARealUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a user on this host")
	}
	name := fmt.Sprintf("sa-src-%d", os.Getpid())
	tool(t, "useradd", "-M", "-U", "-G", "adm", "-s", "/bin/bash", "-d", "/srv", name)
	t.Cleanup(func() { tool(t, "userdel", name) })
	key, line := newKey(t, "")
	p := mustParse(t, `{"sources": {"s": {"exec": {"user": "$subject", "group": "adm"}}, "t": {"exec": {"user": "`+name+`"}, "shell": "/bin/sh"}},
		"verifyKeys": [{"subject": "`+name+`", "keys": ["$k!"]}]}`, map[string]string{"k": line}, Options{Accounts: account.NewDirectory()})
	g := mustDecide(t, p, ask(p, "s", key))
	adm, err := account.LookupGroup(t.Context(), "adm")
	if err != nil {
		t.Fatal(err)
	}
	c := g.Credential
	if c.User != name || c.UID < 1000 || c.GID != adm.GID || c.Group != "adm" || !slices.Equal(c.Groups, []uint32{adm.GID}) || g.Path != "/bin/bash" || g.Dir != "/srv" {
		t.Errorf("%+v", g)
	}
	g = mustDecide(t, p, ask(p, "t", key))
	if c = g.Credential; !slices.Equal(c.Groups, []uint32{c.GID, adm.GID}) || g.Path != "/bin/sh" {
		t.Errorf("%+v", g)
	}
	tool(t, "usermod", "-p", "*", name)
	mustDecide(t, p, ask(p, "t", key))
	tool(t, "usermod", "-L", name)
	wantDenied(t, p, ask(p, "t", key), shell.ReasonUser)
	tool(t, "usermod", "-U", name)
	mustDecide(t, p, ask(p, "t", key))
	tool(t, "usermod", "-e", "1", name)
	wantDenied(t, p, ask(p, "t", key), shell.ReasonUser)
}

// tool runs one of shadow's programs, which lock the databases: another test
// may hold them.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil {
			return
		}
		if !strings.Contains(string(out), "lock") || time.Now().After(deadline) {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
	}
}
