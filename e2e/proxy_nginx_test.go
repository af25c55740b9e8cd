package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var nginx = proxyServer{
	name:   "nginx",
	files:  nginxFiles,
	start:  func(config string) []string { return []string{sbin("nginx"), "-e", "stderr", "-c", config} },
	reload: func(p *proxied) { p.reloadBySignal(syscall.SIGHUP) },
}

func nginxArrangements() []arrangement {
	const snippet = "snippets/shellagent.conf"
	return []arrangement{
		{server: nginx, files: []string{"root.conf", snippet}, endsTLS: true},
		{server: nginx, files: []string{"prefix.conf", snippet}, endsTLS: true, prefix: "/shellagent"},
		{server: nginx, files: []string{"passthrough.conf"}},
		{server: nginx, files: []string{"passthrough.conf"}, prefix: "/ops/agent", agentPrefix: "/ops/agent"},
	}
}

// nginxFiles makes the nginx.conf around an example: one for http belongs into
// conf.d, one for streams stands beside http.
func nginxFiles(t *testing.T, dir, main string) string {
	t.Helper()
	passthrough := filepath.Base(main) == "passthrough.conf"
	var lines []string
	if passthrough {
		lines = append(lines, "load_module /usr/lib/nginx/modules/ngx_stream_module.so;")
	}
	lines = append(lines, "daemon off;", "worker_processes 2;", "pid "+filepath.Join(dir, "nginx.pid")+";", "error_log stderr notice;")
	if os.Geteuid() == 0 {
		lines = append(lines, "user www-data;")
	}
	lines = append(lines, "events { worker_connections 256; }")
	if passthrough {
		lines = append(lines, "include "+main+";")
	} else {
		lines = append(lines, "http {")
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			lines = append(lines, "\t"+kind+"_temp_path "+filepath.Join(dir, kind)+";")
		}
		lines = append(lines, "\taccess_log off;", "\tinclude "+main+";", "}")
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sbin is a daemon's path, which a user's PATH may not lead to.
func sbin(name string) string {
	if path := filepath.Join("/usr/sbin", name); fileExists(path) {
		return path
	}
	return name
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
