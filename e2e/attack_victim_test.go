package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"shellagent/jwtauth"
)

// victim is what the table's attacks are made on: an agent with a way to meet
// every reason.
type victim struct {
	*attacker
	metrics string
	// alice may open everything that is not somebody's own, bob only "bobs";
	// carol has a key to use up; local must come from 127.128.0.0/9.
	alice, bob, carol, local, expired, elsewhere, revoked *jwtauth.PrivateKey
}

const (
	lockedUser  = "e2e-locked"
	expiredUser = "e2e-expired"
	awayUser    = "e2e-away"
)

// makeUsers gives the host users that cannot log in.
func makeUsers(t *testing.T) {
	t.Helper()
	for name, change := range map[string][]string{
		lockedUser:  {"usermod", "-L", "-e", "", lockedUser},
		expiredUser: {"usermod", "-e", "1970-01-02", expiredUser},
	} {
		_ = exec.Command("userdel", name).Run()
		for _, line := range [][]string{{"useradd", "-M", "-s", "/bin/bash", "-p", "$6$unknown$unknown", name}, change} {
			if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", line, err, out)
			}
		}
		t.Cleanup(func() { _ = exec.Command("userdel", name).Run() })
	}
}

// withoutAnswers is an agent on whose host nobody finds out about awayUser: its
// getent fails, as it does when it cannot be forked or a directory server is away.
func withoutAnswers(t *testing.T, h *host) *exec.Cmd {
	t.Helper()
	real, wrapper := filepath.Join(h.dir, "getent.real"), filepath.Join(h.dir, "getent")
	if out, err := exec.Command("cp", "/usr/bin/getent", real).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script := fmt.Sprintf("#!/bin/sh\n[ \"$2\" != %s ] || exit 3\nexec %s \"$@\"\n", awayUser, real)
	syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
	err := os.WriteFile(wrapper, []byte(script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$0" /usr/bin/getent && exec "$1" listen -c "$2"`, wrapper, agentBin, h.config)
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	needRoot(t)
	makeUsers(t)
	a := &victim{metrics: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	h := newHost(t, func(h *host, c object) {
		a.alice = loadKey(t, h.key)
		line := func(k **jwtauth.PrivateKey) string {
			*k = newKey(t)
			return (*k).PublicKey().AuthorizedKey("")
		}
		revoked := line(&a.revoked)
		c["metrics"] = object{"address": a.metrics}
		c["verifyKeys"] = []any{
			object{"subject": "nobody-by-this-name", "keys": []string{h.publicKey(h.key)}},
			object{"keys": []string{line(&a.expired)}, "notAfter": "2020-01-01T00:00:00Z"},
			object{"keys": []string{line(&a.elsewhere)}, "from": []string{"192.0.2.0/24"}},
			object{"keys": []string{line(&a.local)}, "from": []string{"127.128.0.0/9"}},
			revoked, line(&a.carol),
		}
		c["revokedKeys"] = []string{revoked}
		source := func(more object) object {
			s := h.debugSource()
			for k, v := range more {
				s[k] = v
			}
			return s
		}
		as := func(user string) object { return object{"shell": "/bin/bash", "exec": object{"user": user}} }
		c["sources"] = object{
			"debug":      source(nil),
			"bobs":       source(object{"verifyKeys": []string{line(&a.bob)}}),
			"ruled":      source(object{"jwtRule": `source == "another"`}),
			"vouched":    source(object{"verifyCommands": []any{object{"command": []string{"/bin/false"}, "user": "nobody"}}}),
			"listed":     source(object{"commands": []string{"true"}}),
			"execonly":   source(object{"allow": object{"exec": true}}),
			"shellonly":  source(object{"allow": object{"shell": true}}),
			"one":        source(object{"maxSessions": 1}),
			"unrecorded": source(object{"record": object{"dir": "/dev/null/recordings"}}),
			"lost":       source(object{"exec": object{"user": "operator", "workDir": "/nonexistent/dir"}}),
			"menu":       source(object{"shell": "/usr/bin/less"}),
			"gone":       source(object{"shell": "/nonexistent/shell"}),
			"nobody":     as("$subject"),
			"locked":     as(lockedUser),
			"expired":    as(expiredUser),
			"away":       as(awayUser),
		}
	})
	h.startWith(withoutAnswers(t, h))
	a.attacker = newAttacker(t, h, "127.0.0.1")
	return a
}
