package sshargs

import (
	"fmt"
	"slices"
	"strings"
)

// Destination is what a command line's host comes to.
type Destination struct {
	// Hostname and Port are where a connection would go to.
	Hostname string
	Port     int
	// User is whom it would ask for.
	User string
}

// answered are the keywords that -G tells, with the values that OpenSSH has
// where nothing is set. An empty one is told only when it is set.
var answered = []struct{ keyword, value string }{
	{"addressfamily", "any"}, {"batchmode", "no"}, {"canonicalizehostname", "false"}, {"checkhostip", "no"}, {"compression", "no"},
	{"controlmaster", "false"}, {"clearallforwardings", "no"}, {"exitonforwardfailure", "no"}, {"forwardx11", "no"},
	{"forwardx11trusted", ""}, {"gatewayports", "no"}, {"hashknownhosts", ""}, {"hostbasedauthentication", "no"}, {"identitiesonly", "no"},
	{"kbdinteractiveauthentication", ""}, {"passwordauthentication", ""}, {"permitlocalcommand", "no"}, {"proxyusefdpass", "no"},
	{"pubkeyauthentication", "true"}, {"requesttty", "auto"}, {"sessiontype", "default"}, {"stdinnull", "no"},
	{"forkafterauthentication", "no"}, {"stricthostkeychecking", "ask"}, {"tcpkeepalive", "yes"}, {"updatehostkeys", ""},
	{"visualhostkey", "no"}, {"connectionattempts", "1"}, {"serveralivecountmax", "3"}, {"serveraliveinterval", "0"},
	{"bindaddress", ""}, {"bindinterface", ""}, {"ciphers", ""}, {"controlpath", ""}, {"hostkeyalias", ""}, {"identityagent", ""},
	{"loglevel", "INFO"}, {"macs", ""}, {"pkcs11provider", ""}, {"preferredauthentications", ""}, {"proxyjump", ""}, {"tag", ""},
	{"dynamicforward", ""}, {"localforward", ""}, {"remoteforward", ""}, {"certificatefile", ""}, {"identityfile", ""},
	{"userknownhostsfile", ""}, {"sendenv", ""}, {"setenv", ""}, {"forwardagent", "no"}, {"connecttimeout", "none"},
	{"tunneldevice", ""}, {"controlpersist", "no"}, {"escapechar", "~"}, {"proxycommand", ""}, {"remotecommand", ""}, {"localcommand", ""},
}

// truths are keywords of which OpenSSH's answer is true or false, not yes or no.
var truths = []string{
	"canonicalizehostname", "controlmaster", "pubkeyauthentication", "requesttty", "stricthostkeychecking", "updatehostkeys",
}

// Answer is what -G prints: a keyword and its value a line, as ssh_config(5) has
// them and in the order of OpenSSH. It names what the caller resolved.
func (c *Command) Answer(to Destination) string {
	var b strings.Builder
	line := func(keyword, value string) { fmt.Fprintf(&b, "%s %s\n", keyword, value) }
	line("host", c.Host)
	if to.User != "" {
		line("user", to.User)
	}
	line("hostname", to.Hostname)
	line("port", fmt.Sprint(to.Port))
	told := []string{"host", "user", "hostname", "port"}
	for _, a := range answered {
		told = append(told, a.keyword)
		values := c.Settings.All(a.keyword)
		switch {
		case strings.HasSuffix(a.keyword, "forward"):
			values = c.answerForwards(a.keyword)
		case values == nil && a.value != "":
			values = []string{a.value}
		}
		for _, value := range answer(a.keyword, values) {
			line(a.keyword, value)
		}
	}
	for _, setting := range c.Settings {
		if Known(setting.Keyword) && !slices.Contains(told, setting.Keyword) {
			line(setting.Keyword, strings.Join(setting.Values, " "))
		}
	}
	return b.String()
}

// answer spells values as OpenSSH does. A newline can be in one that was quoted.
func answer(keyword string, values []string) []string {
	values = slices.Clone(values)
	for i, value := range values {
		switch {
		case slices.Contains(truths, keyword) && value == "yes":
			value = "true"
		case slices.Contains(truths, keyword) && value == "no":
			value = "false"
		case keyword == "escapechar" && len(value) == 2:
			value = `\` + value
		}
		values[i] = strings.ReplaceAll(value, "\n", `\n`)
	}
	if keywords[keyword].kind == kindList && keyword != "setenv" && len(values) > 0 {
		return []string{strings.Join(values, " ")}
	}
	return values
}
