package process

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { parts["keyring"] = showKeyring }

// showKeyring tells which session keyring a program has.
func showKeyring() int {
	id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	fmt.Println(id, err)
	return 0
}

// Programs of two sessions find no keys of each other.
func TestEachSessionHasAKeyringOfItsOwn(t *testing.T) {
	who := other(t)
	if _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); err != nil {
		t.Log("NOT RUN: this kernel has no keyrings:", err)
		return
	}
	own, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, HostConfig{})
	g := command(who, everybodysCopy(t))
	g.Env = append(g.Env, part+"=keyring")
	seen := map[string]bool{fmt.Sprintln(own, nil): true}
	for range 3 {
		out, _ := result(t, h, g, nil)
		if seen[out] {
			t.Errorf("a session shares the keyring %s of another, or of the agent (pid %d)", out, os.Getpid())
		}
		seen[out] = true
	}
}
