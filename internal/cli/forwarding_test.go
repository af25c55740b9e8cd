package cli

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"shellagent/internal/sshargs"
	"shellagent/internal/tunnel"
)

func TestForwardFlags(t *testing.T) {
	f := forwardFlags{local: []string{"0:db:80", "/tmp/a:db:81"}, remote: []string{"1080"}, dynamic: []string{"1081"}, gateway: true}
	w, err := f.parsed()
	if err != nil || len(w.local) != 2 || len(w.remote) != 1 || len(w.dynamic) != 1 || !w.cfg.Gateway || !w.strict {
		t.Errorf("%+v, %v", w, err)
	}
	for name, f := range map[string]forwardFlags{
		"nothing": {}, "no destination": {local: []string{"80"}}, "too much of one": {dynamic: []string{"80:db:81"}}, "no port": {remote: []string{"x"}},
	} {
		var misused *usageError
		if _, err := f.parsed(); !errors.As(err, &misused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// forwardingOf is what a command line of ssh comes to.
func forwardingOf(t *testing.T, environment map[string]string, args ...string) (*forwarding, error) {
	t.Helper()
	call, err := sshargs.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	s := &surroundings{getenv: func(name string) string { return environment[name] }, ui: &ui{out: &strings.Builder{}}}
	return s.sshForwarding(call)
}

func TestSSHForwarding(t *testing.T) {
	f, err := forwardingOf(t, nil, "-4", "-g", "-oStreamLocalBindMask=0117", "-oStreamLocalBindUnlink=yes", "-oExitOnForwardFailure=yes", "-L", "/tmp/%n-%%:db:80", "h")
	if err != nil || !f.strict || !f.aside || f.local[0].Listen.Path != "/tmp/h-%" {
		t.Errorf("%+v, %v", f, err)
	}
	if c := f.cfg; !c.Gateway || !c.Unlink || c.Mask != 0o117 || c.Network != "tcp4" {
		t.Errorf("%+v", c)
	}
	if f, err = forwardingOf(t, nil, "h"); err != nil || !f.isEmpty() {
		t.Errorf("nothing: %+v, %v", f, err)
	}
	for _, args := range [][]string{{"-oStreamLocalBindMask=9", "h"}, {"-L", "/tmp/%y:db:80", "h"}} {
		if _, err := forwardingOf(t, nil, args...); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestSSHForwardAgent(t *testing.T) {
	with := map[string]string{"SSH_AUTH_SOCK": "/tmp/agent", "OTHER": "/tmp/other"}
	for name, c := range map[string]struct {
		environment map[string]string
		args        []string
		forwards    bool
	}{
		"not asked for":     {with, nil, false},
		"-A":                {with, []string{"-A"}, true},
		"-A, then -a":       {with, []string{"-A", "-a"}, false},
		"without one":       {nil, []string{"-A"}, false},
		"a path":            {nil, []string{"-oForwardAgent=/tmp/x"}, true},
		"a variable":        {with, []string{"-oForwardAgent=$OTHER"}, true},
		"one that is not":   {with, []string{"-oForwardAgent=$NOTHING"}, false},
		"IdentityAgent":     {nil, []string{"-A", "-oIdentityAgent=/tmp/x"}, true},
		"IdentityAgent off": {with, []string{"-A", "-oIdentityAgent=none"}, false},
	} {
		f, err := forwardingOf(t, c.environment, append(c.args, "h")...)
		if err != nil || (f.agent != nil) != c.forwards {
			t.Errorf("%s: forwarded: %v, %v", name, f.agent != nil, err)
		}
	}
}

func TestNoConnections(t *testing.T) {
	var f *forwarding
	if got := f.connections(); !slices.Equal(got, []string{"nothing is forwarded"}) {
		t.Errorf("%q", got)
	}
	f.close()
}

func TestTellFailures(t *testing.T) {
	for want, e := range map[string]tunnel.Event{
		"agent: channel 3: open failed: db:80: nobody": {Kind: tunnel.Failed, Connection: tunnel.Connection{ID: 3, To: "db:80"}, Err: errors.New("nobody")},
		"agent: channel 4: open failed: no SOCKS":      {Kind: tunnel.Failed, Connection: tunnel.Connection{ID: 4}, Err: errors.New("no SOCKS")},
		"agent: warning: -L 1:h:2: nothing can be accepted: too many open files": {
			Kind: tunnel.Failed, Connection: tunnel.Connection{Forward: "-L 1:h:2"}, Err: errors.New("too many open files"),
		},
		"": {Kind: tunnel.Opened, Connection: tunnel.Connection{ID: 5, To: "db:80"}},
	} {
		var said strings.Builder
		s := &surroundings{getenv: os.Getenv, ui: &ui{name: "agent", out: &said}}
		s.tellFailures(e)
		if strings.TrimSpace(said.String()) != want {
			t.Errorf("%+v is told as %q, want %q", e, said.String(), want)
		}
	}
}
