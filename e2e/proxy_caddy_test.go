package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var caddy = proxyServer{
	name:  "caddy",
	files: caddyFiles,
	start: func(config string) []string {
		return []string{"caddy", "run", "--config", config, "--adapter", "caddyfile"}
	},
	reload: reloadCaddy,
}

// The documentation says that Debian's Caddy cannot pass TLS through.
func TestCaddyHasNoPassThrough(t *testing.T) {
	need(t, "caddy")
	modules, err := exec.Command("caddy", "list-modules").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, modules)
	}
	if strings.Contains(string(modules), "layer4") {
		t.Error("this Caddy has layer4: examples/proxy/README.md says that Debian's has not")
	}
}

// caddyArrangements has none that passes TLS through: Debian's Caddy cannot.
func caddyArrangements() []arrangement {
	return []arrangement{
		{server: caddy, files: []string{"root.Caddyfile"}, endsTLS: true},
		{server: caddy, files: []string{"prefix.Caddyfile"}, endsTLS: true, prefix: "/shellagent"},
	}
}

// caddyFiles makes the Caddyfile around an example: nothing is to listen on
// ports of its own.
func caddyFiles(t *testing.T, dir, main string) string {
	t.Helper()
	text := "{\n\tadmin unix/" + filepath.Join(dir, "admin") + "\n\tauto_https disable_redirects\n\tskip_install_trust\n" +
		"\tdefault_bind 127.0.0.1\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n\nimport " + main + "\n"
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func reloadCaddy(p *proxied) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "caddy", "reload", "--force", "--config", filepath.Join(p.proxyDir, "Caddyfile"),
		"--adapter", "caddyfile", "--address", "unix/"+filepath.Join(p.proxyDir, "admin"))
	cmd.Env = p.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("caddy reload: %v: %s\n%s", err, out, p.proxyLog)
	}
}
