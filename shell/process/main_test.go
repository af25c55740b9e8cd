package process

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"shellagent/shell"
)

// part names the environment variable that makes the test binary play a part
// in a test instead of running tests.
const part = "SHELLAGENT_PROCESS_TEST_PART"

var parts = map[string]func() int{}

func TestMain(m *testing.M) {
	if play := parts[os.Getenv(part)]; play != nil {
		os.Exit(play())
	}
	// As the agent does it: the tests may have been started by nohup, too.
	if err := ResetSignals(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	removeAccount()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func needsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: becomes another user")
	}
}

// The account that tests run programs as: made once, with two groups more than
// its own, and removed at the end.
const accountName = "shellagent-test"

var (
	makeAccount sync.Once
	accountMade bool
)

func run(t testing.TB, name string, arg ...string) {
	t.Helper()
	if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arg, err, out)
	}
}

// other is the grant's credential of another user than the one who tests.
func other(t testing.TB) shell.Credential {
	t.Helper()
	needsRoot(t)
	makeAccount.Do(func() {
		accountMade = true
		if _, err := user.Lookup(accountName); err == nil {
			return // of a run that was killed
		}
		run(t, "groupadd", "-f", accountName+"-1")
		run(t, "groupadd", "-f", accountName+"-2")
		run(t, "useradd", "--create-home", "--shell", "/bin/bash",
			"--groups", accountName+"-1,"+accountName+"-2", accountName)
	})
	return credentialOf(t, accountName)
}

func removeAccount() {
	if accountMade {
		_ = exec.Command("userdel", "--remove", accountName).Run()
		_ = exec.Command("groupdel", accountName+"-1").Run()
		_ = exec.Command("groupdel", accountName+"-2").Run()
	}
}

func credentialOf(t testing.TB, name string) shell.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return credentialFrom(t, u)
}

func credentialFrom(t testing.TB, u *user.User) shell.Credential {
	t.Helper()
	number := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	c := shell.Credential{User: u.Username, Group: g.Name, UID: number(u.Uid), GID: number(u.Gid), Home: u.HomeDir}
	ids, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		c.Groups = append(c.Groups, number(id))
	}
	return c
}

// self is the credential of the user who tests.
func self(t testing.TB) shell.Credential {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return credentialFrom(t, u)
}
