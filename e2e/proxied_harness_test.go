package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proxyName is what the clients of these tests call the proxy. It is in the
// handshake, as an address would not be.
const proxyName = "localhost"

// exampleOnly is what no test can use: the examples' ports, names and paths.
var exampleOnly = regexp.MustCompile(`\b(443|4000|8080|8443)\b|example\.com|/etc/|/var/www`)

// arrangement is one way of standing behind a proxy: files of examples/proxy.
type arrangement struct {
	server proxyServer
	// files are below examples/proxy/SERVER, the main one first.
	files []string
	// endsTLS: the proxy has the certificate, and the client trusts its authority.
	endsTLS bool
	// prefix is the path that clients see, and agentPrefix the agent's own.
	prefix, agentPrefix string
}

func (a arrangement) String() string {
	name := strings.TrimSuffix(a.files[0], filepath.Ext(a.files[0]))
	if a.agentPrefix != "" {
		name += "-prefix"
	}
	return a.server.name + "/" + name
}

// proxyServer is a program that is a proxy.
type proxyServer struct {
	name string
	// files makes what the example is part of on a real host, and returns the
	// file to start with. main is the example, with this test's ports and paths.
	files func(t *testing.T, dir, main string) string
	start func(config string) []string
	// reload has a running proxy read its files again, and returns once it did.
	reload func(p *proxied)
}

// arrangements are all that the examples show.
func arrangements() []arrangement {
	all := append(nginxArrangements(), haproxyArrangements()...)
	return append(all, caddyArrangements()...)
}

// endingTLS are those in which the proxy ends TLS.
func endingTLS() (some []arrangement) {
	for _, a := range arrangements() {
		if a.endsTLS {
			some = append(some, a)
		}
	}
	return some
}

// proxied is an agent behind a running proxy.
type proxied struct {
	*host
	arrangement
	proxyPort   int
	proxyDir    string
	proxyConfig string
	proxyLog    *syncBuffer
	proxyCmd    *exec.Cmd
	proxyDone   chan struct{}
	ca          string // of the proxy's certificate
}

// startProxied starts an agent and a proxy before it, and points the client there.
func startProxied(t *testing.T, a arrangement, edit func(h *host, config object)) *proxied {
	t.Helper()
	p := &proxied{arrangement: a, proxyLog: &syncBuffer{}}
	p.host = startHost(t, func(h *host, c object) {
		if a.agentPrefix != "" {
			c["listen"].(object)["pathPrefix"] = a.agentPrefix
		}
		h.pathPrefix = a.agentPrefix
		c["log"] = object{"level": "debug"}
		if edit != nil {
			edit(h, c)
		}
	})
	p.proxyDir = filepath.Join(p.dir, "proxy")
	// nginx's workers are another user.
	if err := os.Chmod(p.dir, 0o711); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", "tls", "www"} {
		if err := os.Mkdir(filepath.Join(p.proxyDir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.ca = filepath.Join(p.proxyDir, "tls", "ca.pem")
	p.makeCertificates()
	p.trustHostKey()
	p.proxyPort = freePort(t)
	p.proxyConfig = p.writeConfig()
	t.Cleanup(p.stopProxy)
	p.startProxy()
	p.target(p.proxyPort)
	return p
}

// target points the client's target at a port where the proxy is reached.
func (p *proxied) target(port int) {
	p.t.Helper()
	target := object{"hostname": proxyName, "port": port, "source": "debug", "pathPrefix": p.prefix}
	if p.endsTLS {
		target["caPath"] = p.ca
	}
	p.writeJSON(p.client, object{"signingKeyPath": p.key, "targets": object{"myhost": target}})
}

func (p *proxied) write(path, text string) {
	p.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// writeConfig makes the example's files fit here and returns the one to start with.
func (p *proxied) writeConfig() string {
	p.t.Helper()
	website, websiteTLS := p.websites()
	if err := os.WriteFile(filepath.Join(p.proxyDir, "www", "index.html"), []byte("the web site\n"), 0o644); err != nil {
		p.t.Fatal(err)
	}
	replace := strings.NewReplacer(
		"127.0.0.1:4000", "127.0.0.1:"+strconv.Itoa(p.port),
		"127.0.0.1:8080", website,
		"127.0.0.1:8443", websiteTLS,
		"agent.example.com:443", proxyName+":"+strconv.Itoa(p.proxyPort),
		"www.example.com:443", proxyName+":"+strconv.Itoa(p.proxyPort),
		"bind :443", "bind 127.0.0.1:"+strconv.Itoa(p.proxyPort),
		" 443 ssl;", " 127.0.0.1:"+strconv.Itoa(p.proxyPort)+" ssl;",
		" 443;", " 127.0.0.1:"+strconv.Itoa(p.proxyPort)+";",
		"agent.example.com", proxyName, "www.example.com", proxyName,
		"/etc/"+p.server.name, p.proxyDir, "/var/www/html", filepath.Join(p.proxyDir, "www"),
	)
	for i := len(p.files) - 1; i >= 0; i-- {
		example, err := os.ReadFile(filepath.Join("../examples/proxy", p.server.name, p.files[i]))
		if err != nil {
			p.t.Fatal(err)
		}
		text := replace.Replace(string(example))
		if left := exampleOnly.FindString(text); left != "" {
			p.t.Fatalf("%s: %s is left as the example has it", p.files[i], left)
		}
		path := filepath.Join(p.proxyDir, p.files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			p.t.Fatal(err)
		}
		p.write(path, text)
	}
	return p.server.files(p.t, p.proxyDir, filepath.Join(p.proxyDir, p.files[0]))
}

// websites are what else stands behind the proxy.
func (p *proxied) websites() (plain, overTLS string) {
	site := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the web site") })
	a, b := httptest.NewServer(site), httptest.NewTLSServer(site)
	p.t.Cleanup(func() { a.Close(); b.Close() })
	return a.Listener.Addr().String(), b.Listener.Addr().String()
}

func (p *proxied) startProxy() {
	p.t.Helper()
	argv := p.server.start(p.proxyConfig)
	need(p.t, argv[0])
	p.proxyCmd = exec.Command(argv[0], argv[1:]...)
	p.proxyCmd.Stdout, p.proxyCmd.Stderr = p.proxyLog, p.proxyLog
	p.proxyCmd.Env = p.env()
	p.proxyCmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.proxyCmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, done := p.proxyCmd, make(chan struct{})
	p.proxyDone = done
	go func() { _ = cmd.Wait(); close(done) }()
	p.waitProxy("to answer for the agent", func() bool {
		select {
		case <-done:
			p.t.Fatalf("%s ended at its start:\n%s", p.server.name, p.proxyLog)
		default:
		}
		return strings.HasPrefix(p.curl(p.url(p.prefix+"/healthz")), "ok")
	})
}

// stopProxy kills the proxy's processes, which ends all connections through it.
func (p *proxied) stopProxy() {
	if p.proxyCmd == nil {
		return
	}
	_ = syscall.Kill(-p.proxyCmd.Process.Pid, syscall.SIGKILL)
	<-p.proxyDone
	p.proxyCmd = nil
	if p.t.Failed() {
		p.t.Logf("%s's log:\n%s", p.server.name, tail(p.proxyLog.String(), 4000))
	}
}

func (p *proxied) waitProxy(what string, ok func() bool) {
	p.t.Helper()
	if !eventually(20*time.Second, ok) {
		p.t.Fatalf("waited 20 s for %s %s; its log:\n%s", p.server.name, what, tail(p.proxyLog.String(), 8000))
	}
}

func (p *proxied) url(path string) string {
	return fmt.Sprintf("https://%s:%d%s", proxyName, p.proxyPort, path)
}

// curl returns what the proxy answers.
func (p *proxied) curl(url string, more ...string) string {
	args := []string{"-s", "-m", "5", url}
	if p.endsTLS {
		args = append(args, "--cacert", p.ca)
	} else {
		args = append(args, "-k")
	}
	cmd := exec.Command("curl", append(args, more...)...)
	out, _ := cmd.Output()
	return string(out)
}

// proxyChildren are the processes of the proxy, its first one aside.
func (p *proxied) proxyChildren() map[string]bool {
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(p.proxyCmd.Process.Pid)).Output()
	children := make(map[string]bool)
	for _, pid := range strings.Fields(string(out)) {
		children[pid] = true
	}
	return children
}

// reloadBySignal is the reload of a proxy whose first process starts others.
func (p *proxied) reloadBySignal(s syscall.Signal) {
	p.t.Helper()
	before := p.proxyChildren()
	if err := p.proxyCmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	p.waitProxy("to have a new process", func() bool {
		for pid := range p.proxyChildren() {
			if !before[pid] {
				return true
			}
		}
		return false
	})
	p.waitProxy("to answer after its reload", func() bool { return strings.HasPrefix(p.curl(p.url(p.prefix+"/healthz")), "ok") })
}

// lostConnections is how many connections of sessions were not the session's
// first. A test takes what it lost from what was lost before: a busy Caddy may
// cut a stream as it begins (examples/proxy/README.md says why).
func (p *proxied) lostConnections() int {
	log := p.log.String()
	return strings.Count(log, `msg="client attached"`) - strings.Count(log, `msg="session opened"`)
}
