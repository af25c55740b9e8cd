//go:build linux

package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"agent": func() {
			leaveTerminal()
			os.Exit(Run(os.Args[1:], Program{Name: "agent", Short: "a shell on any host"}))
		},
		"exits": exits,
		"drawn": drawnProgram,
	})
}

// leakChecked fails a run that leaves goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreTopFunction("os/signal.loop")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// exits is "exits N PROGRAM ARG…": it runs a program on its own streams and
// terminal and succeeds if that ends with N.
func exits() {
	want, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		fmt.Fprintf(os.Stderr, "exit code %d, not %d\n", got, want)
		os.Exit(1)
	}
}

// TestScripts runs the command line as a person would. A script has an agent at
// $AGENT whose host key is $THUMBPRINT and $SHA256, and a key "key".
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			a, err := startFakeAgent("127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(a.close)
			env.Values[theAgent] = a
			a.log.path = filepath.Join(env.WorkDir, "agent.log")
			key, err := newKeyFile(filepath.Join(env.WorkDir, "key"))
			if err != nil {
				return err
			}
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("KEY", key.PublicKey().Thumbprint())
			_, port, err := net.SplitHostPort(a.addr)
			if err != nil {
				return err
			}
			env.Setenv(runnerSession, strconv.Itoa(sessionOf(0)))
			env.Setenv("AGENT", a.addr)
			env.Setenv("PORT", port)
			env.Setenv("THUMBPRINT", a.host.PublicKey().Thumbprint())
			env.Setenv("SHA256", a.host.PublicKey().OpenSSHFingerprint())
			env.Setenv("HOSTKEY", a.host.PublicKey().AuthorizedKey(""))
			return os.WriteFile(filepath.Join(env.WorkDir, "client.json"), fmt.Appendf(nil,
				`{"signingKeyPath": "key", "targets": {"myhost": {"hostname": "127.0.0.1", "port": %s, "source": "debug"}}}`, port), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand": expand, "await": await, "announce": announce,
		},
	})
}

// await is "await FILE TEXT": it waits until the file has the text.
func await(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(text), args[1]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s has no %q after 10 s:\n%s", args[0], args[1], text)
		}
		<-tick.C
	}
}

// expand is "expand FILE…": it replaces $VARIABLES in files.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
