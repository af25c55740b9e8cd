package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"shellagent/internal/sshargs"
	"shellagent/targets"
)

// newSource is a source as setup writes it.
type newSource struct {
	name, user, shell string
	keys              []any
}

// quoted is a value as JSON.
func quoted(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // texts only
		return `""`
	}
	return strings.TrimSpace(b.String())
}

// firstConfig is the text of a host's first configuration.
func firstConfig(address, stateDir string, s newSource) []byte {
	var b strings.Builder
	b.WriteString(`// Shell Agent, set up by "agent setup". JSON with comments and trailing commas.
// "agent check" says what this allows and where a mistake is; "agent reload" puts a
// change in force, with --confirm 60s on trial.
{
  // ":4000" is every address of this host, "127.0.0.1:4000" one.
`)
	fmt.Fprintf(&b, "  \"listen\": {\"address\": %s},\n", quoted(address))
	if stateDir != "" {
		b.WriteString("\n  // The host key is kept here.\n")
		fmt.Fprintf(&b, "  \"stateDir\": %s,\n", quoted(stateDir))
	}
	b.WriteString(`
  // Ways in: which shell, as whom, for whose keys. More of them may be in files
  // of their own: sources.d/*.json beside this one.
  "sources": {
`)
	s.text(&b)
	b.WriteString("  },\n}\n")
	return []byte(b.String())
}

// sourceFile is the text of a file in sources.d.
func sourceFile(s newSource) []byte {
	var b strings.Builder
	b.WriteString("// A way in, set up by \"agent setup\".\n{\n  \"sources\": {\n")
	s.text(&b)
	b.WriteString("  },\n}\n")
	return []byte(b.String())
}

func (s newSource) text(b *strings.Builder) {
	fmt.Fprintf(b, "    // agent shell %s THIS-HOST\n    %s: {\n", s.name, quoted(s.name))
	if s.user != "" {
		fmt.Fprintf(b, "      \"exec\": {\"user\": %s},\n", quoted(s.user))
	}
	if s.shell != "" {
		fmt.Fprintf(b, "      \"shell\": %s,\n", quoted(s.shell))
	} else {
		b.WriteString("      // The user's own shell. \"shell\": \"/bin/bash\" would be another.\n")
	}
	if len(s.keys) > 0 {
		b.WriteString("      // Lines as in authorized_keys, or {\"subject\": …, \"keys\": […], \"from\": […], \"notAfter\": …}.\n      \"verifyKeys\": [\n")
		for _, k := range s.keys {
			fmt.Fprintf(b, "        %s,\n", quoted(k))
		}
		b.WriteString("      ],\n")
	}
	b.WriteString("    },\n")
}

// startCommand is what to type to have the agent run.
func startCommand(config string) string {
	if config != defaultConfig {
		return "agent listen -c " + sshargs.ShellWord(config)
	}
	for _, dir := range []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		if exists(dir+"/shellagent.service") && exists("/run/systemd/system") {
			return "systemctl enable --now shellagent"
		}
	}
	return "agent listen"
}

// connectCommand is what to type on the client.
func connectCommand(l *loaded, source, fingerprint string) string {
	host, port := reachedAt(l)
	words := []string{"agent", "shell", "--fingerprint", fingerprint}
	switch {
	case l.Listen.PathPrefix != "":
		host = "https://" + net.JoinHostPort(host, port) + l.Listen.PathPrefix
	case port != strconv.Itoa(targets.DefaultPort):
		words = append(words, "-p", port)
	}
	return strings.Join(append(words, source, sshargs.ShellWord(host)), " ")
}

// reachedAt is where a client finds the agent, as far as this host knows: behind
// a proxy or a NAT it is somewhere else.
func reachedAt(l *loaded) (host, port string) {
	host, port, err := net.SplitHostPort(l.Listen.Address[0])
	if err != nil || port == "0" {
		port = "PORT"
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = hostName()
	}
	return host, port
}
