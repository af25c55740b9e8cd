package e2e

import (
	"syscall"
	"testing"
)

var haproxy = proxyServer{
	name:   "haproxy",
	files:  func(_ *testing.T, _, main string) string { return main },
	start:  func(config string) []string { return []string{sbin("haproxy"), "-W", "-f", config} },
	reload: func(p *proxied) { p.reloadBySignal(syscall.SIGUSR2) },
}

func haproxyArrangements() []arrangement {
	return []arrangement{
		{server: haproxy, files: []string{"root.cfg"}, endsTLS: true},
		{server: haproxy, files: []string{"prefix.cfg"}, endsTLS: true, prefix: "/shellagent"},
		{server: haproxy, files: []string{"passthrough.cfg"}},
		{server: haproxy, files: []string{"passthrough.cfg"}, prefix: "/ops/agent", agentPrefix: "/ops/agent"},
	}
}
