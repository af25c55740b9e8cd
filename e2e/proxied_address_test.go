package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The addresses of these tests, all on this machine: who asks, and a claim.
const (
	clientAddress = "127.0.0.9"
	pretended     = "198.51.100.7"
)

func TestClientAddressBehindProxies(t *testing.T) {
	for _, a := range endingTLS() {
		for _, c := range []struct {
			name    string
			trusted []string
			want    string
		}{
			{"a trusted proxy tells it", []string{"127.0.0.1"}, clientAddress},
			{"a trusted network tells it", []string{"127.0.0.0/29", "::1"}, clientAddress},
			{"nobody is trusted", nil, "127.0.0.1"},
			{"another is trusted", []string{"127.0.0.2/32"}, "127.0.0.1"},
		} {
			t.Run(a.String()+"/"+c.name, func(t *testing.T) {
				p := startProxied(t, a, func(_ *host, config object) {
					if c.trusted != nil {
						config["listen"].(object)["trustedProxies"] = c.trusted
					}
				})
				p.target(relayFrom(t, clientAddress, p.proxyPort))
				if got := p.exec(nil, "debug", "myhost", "--command", "echo $SSH_CONNECTION"); !strings.HasPrefix(got.stdout, c.want+" ") {
					t.Fatalf("the program is told that %q asks, want %s: %q", got.stdout, c.want, got.stderr)
				}
				p.logged(`msg="session opened" .* remote=` + regexp.QuoteMeta(c.want) + `:`)

				p.claim(proxyName, p.proxyPort, p.prefix)
				p.logged(`reason=unknown_key .* remote=` + regexp.QuoteMeta(c.want) + `:`)
			})
		}
	}
	t.Run("no proxy at all", func(t *testing.T) {
		p := &proxied{host: startHost(t, func(_ *host, config object) {
			config["listen"].(object)["trustedProxies"] = []string{"127.0.0.1"}
		})}
		p.claim("127.0.0.1", p.port, "")
		p.logged(`reason=unknown_key .* remote=` + regexp.QuoteMeta(clientAddress) + `:`)
	})
}

// claim sends a refused request that claims to be forwarded for somebody else.
func (p *proxied) claim(name string, port int, prefix string) {
	p.t.Helper()
	header := fmt.Sprintf(`{"alg":"EdDSA","typ":"shellagent-id+jwt","kid":"%s"}`, strings.Repeat("A", 43))
	token := base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30." + strings.Repeat("A", 86)
	cmd := exec.Command("curl", "-sk", "-m", "5", "--interface", clientAddress,
		"-H", "X-Forwarded-For: "+pretended, "-H", "X-Forwarded-For: "+pretended+", 127.0.0.1", "-H", "X-Real-IP: "+pretended,
		"-H", "Forwarded: for="+pretended, "-H", "Authorization: Bearer "+token,
		fmt.Sprintf("https://%s:%d%s/v1/sessions", name, port, prefix))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"unauthorized"`) {
		p.t.Fatalf("curl: %v: %s", err, out)
	}
}

// logged waits for a line in the agent's log, in which no claim may be.
func (p *proxied) logged(line string) {
	p.t.Helper()
	pattern := regexp.MustCompile(line)
	p.waitFor("a log line like "+line, func() bool { return pattern.MatchString(p.log.String()) })
	if strings.Contains(p.log.String(), pretended) {
		p.t.Errorf("the log has the pretended address %s:\n%s", pretended, p.log)
	}
}

// relayFrom passes connections on from an address of its own, and returns its port.
func relayFrom(t *testing.T, address string, to int) int {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return accepting(t, func(c net.Conn) {
		up, err := dialer.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", to))
		if err != nil {
			return
		}
		go func() { defer up.Close(); _, _ = io.Copy(up, c) }()
		_, _ = io.Copy(c, up)
	})
}
