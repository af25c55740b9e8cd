package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who vouches for whom when a proxy ends TLS: an authority for the proxy, the
// proxy for the agent, and the pinned host key for the agent again.
func TestTrustBehindProxies(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, a := range endingTLS() {
		t.Run(a.String(), func(t *testing.T) {
			p := startProxied(t, a, nil)
			run := func(args ...string) result {
				return p.runClient(nil, "exec", append(args, "debug", "myhost", "--", "echo", "done")...)
			}
			p.refusesStrangers(t, run)

			// First contact: nobody is asked, and the agent's own key is pinned.
			thumb := p.hostThumbprint()
			if got := run(); got.stdout != "done\n" || got.code != 0 || !strings.Contains(got.stderr, thumb) {
				t.Fatalf("first contact: code %d, %q, %q; want the host key %s in it", got.code, got.stdout, got.stderr, thumb)
			}
			known, err := os.ReadFile(filepath.Join(p.dir, "xdg-state", "shellagent", "known_hosts"))
			if err != nil || !strings.Contains(string(known), p.publicKey(filepath.Join(p.dir, "state", "host_key"))[:60]) {
				t.Errorf("known_hosts has not the agent's key: %v\n%s", err, known)
			}
			if got := run(); got.code != 0 || got.stderr != "" {
				t.Errorf("second contact: code %d, %q", got.code, got.stderr)
			}

			// Another agent in its place, which the proxy does not trust.
			p.stop()
			if err := os.Remove(filepath.Join(p.dir, "state", "host_key")); err != nil {
				t.Fatal(err)
			}
			p.start()
			if got := run(); got.code != 255 || !strings.Contains(got.stderr, "proxy") {
				t.Errorf("the proxy does not know the agent: code %d, %q, %q", got.code, got.stdout, got.stderr)
			}
			// And one which it does.
			p.trustHostKey()
			p.server.reload(p)
			got := run()
			for _, want := range []string{"REFUSED", "HAS CHANGED", thumb, p.hostThumbprint(), "known_hosts"} {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("a changed host key: %q says nothing of %s", got.stderr, want)
				}
			}
			if got.code != 255 || strings.Contains(p.log.String()[strings.LastIndex(p.log.String(), "the agent is ready"):], "session opened") {
				t.Errorf("a changed host key: code %d; the agent's log:\n%s", got.code, p.log)
			}
		})
	}
}

// refusesStrangers connects without the authority, and with another one.
func (p *proxied) refusesStrangers(t *testing.T, run func(...string) result) {
	t.Helper()
	other := filepath.Join(p.dir, "other.pem")
	if err := os.Link(filepath.Join(p.proxyDir, "shellagent-host.pem"), other); err != nil {
		t.Fatal(err)
	}
	if got := run("--ca", other); got.code != 255 || !strings.Contains(got.stderr, "--ca") {
		t.Errorf("another authority: code %d, %q", got.code, got.stderr)
	}
	p.endsTLS = false
	p.target(p.proxyPort) // without caPath
	for _, args := range [][]string{nil, {"--accept-new"}} {
		if got := run(args...); got.code != 255 || !strings.Contains(got.stderr, "--ca") {
			t.Errorf("no authority, %q: code %d, %q", args, got.code, got.stderr)
		}
	}
	if got := run("--ca", p.ca, "--fingerprint", strings.Repeat("A", 43)); got.code != 255 || !strings.Contains(got.stderr, "REFUSED") {
		t.Errorf("the authority and a wrong fingerprint: code %d, %q", got.code, got.stderr)
	}
	p.endsTLS = true
	p.target(p.proxyPort)
}

func (p *proxied) hostThumbprint() string {
	return strings.TrimSpace(p.run0(agentBin, "keys", "fingerprint", filepath.Join(p.dir, "state", "host_key.pub")))
}
