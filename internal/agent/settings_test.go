package agent

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func loadListen(t *testing.T, listen string) (*loaded, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.json")
	if err := os.WriteFile(path, fmt.Appendf(nil, "{\n\"listen\": %s\n}\n", listen), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(path)
}

func TestTrustedProxies(t *testing.T) {
	got, err := loadListen(t, `{"trustedProxies": ["127.0.0.1", "::1", "10.0.0.0/8", "2001:db8::/32"]}`)
	if err != nil {
		t.Fatal(err)
	}
	var want []netip.Prefix
	for _, text := range []string{"127.0.0.1/32", "::1/128", "10.0.0.0/8", "2001:db8::/32"} {
		want = append(want, netip.MustParsePrefix(text))
	}
	if !slices.Equal(got.proxies, want) {
		t.Errorf("%v, want %v", got.proxies, want)
	}
	for listen, remedy := range map[string]string{
		`{"trustedProxies": ["10.0.0.1/8"]}`:              `agent.json:2:31: 10.0.0.1/8 has bits beyond its length; write 10.0.0.0/8, or 10.0.0.1`,
		`{"trustedProxies": ["::1",` + "\n" + `"nginx"]}`: `agent.json:3:1: "nginx" is not an address; write 192.0.2.7`,
	} {
		if _, err := loadListen(t, listen); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v, want %s", listen, err, remedy)
		}
	}
}

func TestMetricsAddress(t *testing.T) {
	for address, remedy := range map[string]string{
		"127.0.0.1:9464": "", "[::1]:0": "", "": "",
		"9464":           `agent.json:2:24: "9464" is not an address`,
		"localhost:http": `agent.json:2:24: "localhost:http" has no port`,
	} {
		path := filepath.Join(t.TempDir(), "agent.json")
		if err := os.WriteFile(path, fmt.Appendf(nil, "{\n\"metrics\": {\"address\": %q}\n}\n", address), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(path); (err == nil) != (remedy == "") || err != nil && !strings.Contains(err.Error(), remedy) {
			t.Errorf("%q: %v, want %q", address, err, remedy)
		}
	}
}
