// Package shellagent_test holds the rules of the repository as a whole: who may
// import whom and what the binaries link (deps_test.go), and what no file may
// contain (style_test.go).
package shellagent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deps.txt anew")

const module = "shellagent"

// wall is what lies between packages: may the one import the others?
type wall struct {
	pkg  string // a pattern, as go list's
	ours []string
	why  string
}

// mayImport says which packages of ours each package of ours may import, and
// why no others. A package that is not here fails the test: new walls are drawn
// on purpose. What is in importedByAll may be imported by everybody.
var mayImport = []wall{
	{"jwtauth", nil, "identity can be read, tested and used alone"},
	{"jwtauth/command", []string{"jwtauth"}, "it signs and verifies by running programs, which jwtauth itself must not"},
	{"shell", nil, "the session knows nothing of tokens, users or wires"},
	{"account", nil, "it asks the host who its users are, for anybody"},
	{"config", nil, "it reads files strictly, whatever they hold"},
	{"shell/process", []string{"shell", "account"}, "the host runs what a grant says; it does not decide"},
	{"shell/shellhttp", []string{"shell", "jwtauth"}, "the wire carries sessions and tokens; policy and programs stay behind it"},
	{"sources", []string{"jwtauth", "jwtauth/command", "shell", "account", "config"}, "policy is a function from who and what to a grant; it starts nothing"},
	{"targets", []string{"jwtauth", "jwtauth/command", "config"}, "the client's side knows no sessions and no server"},
	{"broker", []string{"jwtauth", "shell", "shell/process", "shell/shellhttp", "sources", "internal/shm"}, "it verifies, decides and acts; files and commands are cmd/agent's"},
	{"seal", []string{"jwtauth"}, "it proves what was written, whatever that says"},
	{"record", []string{"shell", "seal", "jwtauth"}, "it keeps what a session showed; the session knows nothing of it"},
	{"metrics", []string{"shell"}, "it counts events and decides nothing"},
	{"metrics/scrape", nil, "it serves a text: only the front, which holds nothing, may parse HTTP for it"},
	{"internal/version", nil, "what the linker fills in"},
	{"internal/failpoint", nil, "names of moments, and nothing else without its build tag"},
	{"internal/alarm", nil, "it wakes somebody at a moment, whatever for"},
	{"internal/proxycommand", nil, "it runs the program that reaches a server, and knows nothing of what is said to it"},
	{"internal/localcommand", nil, "it runs a line of the person's own"},
	{"internal/sshargs", nil, "it reads a command line of ssh(1), and does nothing of what that asks for"},
	{"internal/socks", nil, "it reads what a client of a proxy asks for, and opens nothing"},
	{"internal/sshagent", nil, "it judges what reaches an ssh-agent, and knows no connection of ours"},
	{"internal/terminal", []string{"shell"}, "the person's terminal, for the client"},
	{"internal/tunnel", []string{"shell", "internal/forward", "internal/socks", "internal/sshagent", "internal/sshargs"}, "it carries connections over a session; how that came to be is the caller's"},
	{"internal/share", []string{"shell"}, "it carries sessions between processes of one user, and knows no network"},
	{"internal/fanout", nil, "it runs one thing on many targets and shows what they print, whatever they are"},
	{"internal/cli", []string{"jwtauth", "jwtauth/command", "shell", "shell/shellhttp", "targets", "config", "internal/copying", "internal/forward", "internal/fanout", "internal/localcommand", "internal/proxycommand", "internal/share", "internal/sshargs", "internal/terminal", "internal/tunnel"}, "commands of both binaries: the client's side only"},
	{"audit", []string{"shell", "seal", "jwtauth"}, "it writes facts down and passes them on; it decides nothing"},
	{"audit/drain", []string{"audit", "shell"}, "it reads what a session shows, and writes it to a trail; who it belongs to is in the grant"},
	{"audit/sink", []string{"audit"}, "it passes on what is written down, and asks nobody what that means"},
	{"internal/playback", []string{"audit", "jwtauth", "record", "shell", "targets", "internal/cli", "internal/terminal"}, "it looks at recordings, and needs no agent"},
	{"internal/mangen", []string{"internal/cli", "internal/agent", "internal/playback"}, "it writes down the command trees"},
	{"internal/listen", nil, "sockets, systemd and the host's limits know nothing of what is served"},
	{"internal/handover", nil, "the form of what crosses an upgrade, not what it says"},
	{"internal/door", nil, "the operator's requests and answers, not what becomes of them"},
	{"internal/bulk", nil, "it moves bytes, whatever they say"},
	{"internal/rawio", nil, "it reads and writes descriptors, whatever they are"},
	{"internal/shm", nil, "memory that two processes have, whatever they say in it"},
	{"internal/forward", nil, "what crosses the wire of a forward, for both ends"},
	{"internal/forwardd", []string{"internal/forward"}, "it opens what it is told that it may; who says so is behind an interface"},
	{"internal/sftpd", []string{"shell", "internal/within"}, "it serves files within limits that it is given"},
	{"internal/within", []string{"shell"}, "directories, and that nothing leads out of them"},
	{"internal/copying", nil, "it copies between two streams and a file system, and knows no session and no policy"},
	{"internal/sandbox", nil, "it takes rights away and gives none"},
	{"internal/thrift", nil, "it knows how much memory there is, not whose"},
	{"internal/front", []string{"broker", "shell", "shell/shellhttp", "metrics/scrape", "internal/sandbox", "internal/thrift"}, "the process without privileges: HTTP on one side, calls on the other"},
	{"internal/agent", []string{"account", "audit", "audit/drain", "audit/sink", "seal", "broker", "config", "jwtauth", "metrics", "record", "shell", "shell/process", "sources", "internal/cli", "internal/door", "internal/forward", "internal/forwardd", "internal/front", "internal/handover", "internal/listen", "internal/copying", "internal/sftpd", "internal/within", "internal/sshargs", "internal/terminal", "internal/thrift", "targets"}, "it puts the agent together"},
	{"cmd/cli", []string{"internal/cli"}, "the client for laptops links no server code"},
	{"cmd/agent", []string{"..."}, "the binary that is everything"},
	{"examples/...", []string{"..."}, "examples are linked by no binary"},
	{"e2e/...", []string{"..."}, "tests"},
	{"scripts/testreport", nil, "a tool of make test"},
	{"internal/longline", nil, "a network for tests and benchmarks, which knows nothing of what crosses it"},
	{"bench", []string{"bench/...", "internal/longline"}, "it meets the binaries as a user does, and links nothing of theirs"},
	{"bench/cost", nil, "it asks the kernel what processes use"},
	{"bench/driver", nil, "neutral: it knows no client's protocol"},
	{"bench/relay", nil, "two terminals and a copier"},
	{"bench/peers", []string{"bench/cost", "bench/driver", "internal/longline"}, "command lines and servers of those compared"},
	{"bench/observer", []string{"bench/driver"}, "it sees what anybody on the way sees, and knows no client's protocol"},
	{"bench/measure", []string{"bench/cost", "bench/driver", "bench/peers"}, "what is measured is the same for everybody"},
	{"bench/report", []string{"bench/measure"}, "numbers in, verdicts out"},
}

// importedByAll are packages that no wall keeps out.
var importedByAll = []string{"internal/version", "internal/failpoint", "internal/alarm", "internal/bulk", "internal/rawio"}

// onlyIn keeps an ability in the few packages that are read for it. Test files
// may import what they like.
var onlyIn = []wall{
	{"os/exec", []string{"shell/process", "account", "jwtauth/command", "internal/forward", "internal/localcommand", "internal/proxycommand", "internal/share", "examples/...", "bench/...", "internal/longline"}, "who can start programs is what there is to audit"},
	{"net/http/...", []string{"shell/shellhttp", "metrics/scrape", "audit/sink", "examples/..."}, "HTTP is parsed by the front; a sink is a client of the server that its configuration names, and takes from its answers whether a line was taken"},
	{"net/http/pprof", nil, "it registers itself on the default mux"},
	{"expvar", nil, "it registers itself on the default mux"},
	{"log", nil, "logs are structured: log/slog"},
	{"testing/...", []string{"examples/..."}, "test support is linked by no binary"},
	{"encoding/gob", nil, "it decodes whatever types it is sent"},
	{"plugin", nil, "no code is loaded at run time"},
	{"github.com/creack/pty/...", []string{"shell/process", "bench/..."}, "terminals are made by the host side"},
	{"github.com/golang-jwt/jwt/v5/...", []string{"jwtauth"}, "tokens are parsed in one place"},
	{"golang.org/x/crypto/ssh/...", []string{"jwtauth"}, "key files are parsed in one place"},
	{"github.com/r3labs/sse/v2/...", []string{"shell/shellhttp"}, "one of two encodings of the wire"},
	{"github.com/expr-lang/expr/...", []string{"sources"}, "rules are policy"},
	{"github.com/prometheus/...", nil, "its init takes a millisecond of every process that links it; package metrics writes its text, and is tested against it"},
	{"github.com/elastic/...", nil, "its tables of every architecture's calls are made at the start of each process; internal/sandbox is tested against it"},
	{"github.com/pkg/sftp", []string{"internal/sftpd"}, "files are served in one place"},
	{"github.com/libp2p/...", []string{"internal/forward"}, "streams are multiplexed in one place"},
	{"gonum.org/...", []string{"bench/report"}, "it draws what the benchmark finds; no binary links it"},
	{"github.com/tailscale/hujson/...", []string{"config"}, "files are read strictly in one place"},
}

// notLinked says what a binary must not contain, however it would come in.
var notLinked = []struct {
	binary   string
	patterns []string
	why      string
}{
	{"cmd/cli", []string{module + "/bench/...", module + "/internal/longline"}, "the benchmark is of no binary"},
	{"cmd/agent", []string{module + "/bench/...", module + "/internal/longline"}, "the benchmark is of no binary"},
	{
		"cmd/cli", []string{
			module + "/broker", module + "/sources", module + "/account", module + "/metrics/...", module + "/shell/process",
			"github.com/prometheus/...", "github.com/expr-lang/...", "github.com/creack/...", "github.com/elastic/...",
			"github.com/landlock-lsm/...", "github.com/fsnotify/...", "github.com/coreos/...",
		}, "a laptop has no use for server code",
	},
	{"cmd/cli", []string{"testing", "net/http/pprof", "expvar", "plugin"}, "neither has a user"},
	{"cmd/agent", []string{"testing", "net/http/pprof", "expvar", "plugin"}, "neither has a host"},
}

// listed is what go list tells of a package; Imports leaves test files out.
type listed struct {
	ImportPath string
	Imports    []string
	Module     *struct{ Path string }
}

func list(t *testing.T, platform string, patterns ...string) []listed {
	t.Helper()
	goos, goarch, _ := strings.Cut(platform, "/")
	args := append([]string{"list", "-deps", "-json=ImportPath,Imports,Module"}, patterns...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v\n%s", platform, err, stderr.Bytes())
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// matches says whether a pattern as go list's names a package: "a" itself,
// "a/..." it and those below, "..." all.
func matches(pattern, pkg string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return pattern == "..." || root == pkg || below && strings.HasPrefix(pkg, root+"/")
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// ours cuts the module's name off a package of ours.
func ours(pkg string) (string, bool) {
	if pkg == module {
		return ".", true
	}
	return strings.CutPrefix(pkg, module+"/")
}

func TestImports(t *testing.T) {
	for platform, patterns := range map[string][]string{
		"linux/amd64": {"./..."}, "darwin/arm64": {"./cmd/cli"}, "windows/amd64": {"./cmd/cli"},
	} {
		t.Run(platform, func(t *testing.T) {
			for _, p := range list(t, platform, patterns...) {
				importer, ok := ours(p.ImportPath)
				if !ok {
					continue
				}
				for _, imported := range p.Imports {
					for _, problem := range breaches(importer, imported) {
						t.Errorf("%s imports %s: %s", importer, imported, problem)
					}
				}
			}
		})
	}
}

// breaches returns why one import breaks a rule.
func breaches(importer, imported string) []string {
	var problems []string
	for _, rule := range onlyIn {
		if matches(rule.pkg, imported) && !matchesAny(rule.ours, importer) {
			problems = append(problems, fmt.Sprintf("only %v may: %s", rule.ours, rule.why))
		}
	}
	if importer == "shell" && strings.Contains(strings.Split(imported, "/")[0], ".") {
		problems = append(problems, "shell imports the standard library only, so that a session can be modelled")
	}
	if of, ok := ours(imported); ok && !slices.Contains(importedByAll, of) {
		i := slices.IndexFunc(mayImport, func(w wall) bool { return matches(w.pkg, importer) })
		switch {
		case i < 0:
			problems = append(problems, "mayImport in deps_test.go does not say what "+importer+" is for")
		case !matchesAny(mayImport[i].ours, of):
			problems = append(problems, mayImport[i].why)
		}
	}
	return problems
}

// A rule that nothing could break would not be one.
func TestImportRulesBite(t *testing.T) {
	for _, c := range []struct {
		importer, imported string
		breaks             bool
	}{
		{"shell", "os/exec", true},
		{"shell", "golang.org/x/sys/unix", true},
		{"shell", module + "/jwtauth", true},
		{"shell", "io", false},
		{"jwtauth", module + "/shell", true},
		{"jwtauth/command", "os/exec", false},
		{"jwtauth", "os/exec", true},
		{"broker", "net/http", true},
		{"broker", module + "/shell/process", false},
		{"shell/shellhttp", module + "/sources", true},
		{"shell/shellhttp", "net/http/httptrace", false},
		{"shell/shellhttp", "net/http/pprof", true},
		{"cmd/cli", module + "/broker", true},
		{"targets", module + "/internal/version", false},
		{"shell", module + "/internal/failpoint", false},
		{"metrics", "log", true},
		{"metrics", "net/http", true},
		{"internal/agent", module + "/metrics", false},
		{"internal/agent", module + "/metrics/scrape", true},
		{"metrics", "log/slog", false},
		{"brand/new", module + "/shell", true},
	} {
		if problems := breaches(c.importer, c.imported); (len(problems) > 0) != c.breaks {
			t.Errorf("%s imports %s: %q, want a breach: %v", c.importer, c.imported, problems, c.breaks)
		}
	}
}

// binaries and the platforms that they are built for, with deps.txt's letters.
var binaries = []struct {
	name, pkg string
	platforms []string
}{
	{"agent", "cmd/agent", []string{"linux/amd64"}},
	{"agent-cli", "cmd/cli", []string{"linux/amd64", "darwin/arm64", "windows/amd64"}},
}

func TestLinkedModules(t *testing.T) {
	var text strings.Builder
	text.WriteString("# What each binary links: our packages, then modules. L: on Linux, D: on macOS, W: on Windows.\n" +
		"# Written by \"make deps\", checked by deps_test.go, so that a new dependency shows in review.\n")
	for _, b := range binaries {
		linked := make(map[string]string) // letters by package or module
		for _, platform := range b.platforms {
			letter := strings.ToUpper(platform[:1])
			for _, p := range list(t, platform, "./"+b.pkg) {
				forbidden(t, b.pkg, platform, p.ImportPath)
				name := p.ImportPath
				if _, ok := ours(name); !ok {
					if p.Module == nil {
						continue
					}
					name = p.Module.Path
				}
				if !strings.Contains(linked[name], letter) {
					linked[name] += letter
				}
			}
		}
		fmt.Fprintf(&text, "\n%s\n", b.name)
		for _, name := range slices.SortedFunc(maps.Keys(linked), oursFirst) {
			fmt.Fprintf(&text, "  %-*s %s\n", len(b.platforms), linked[name], name)
		}
	}
	if *update {
		if err := os.WriteFile("deps.txt", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	known, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(known) != text.String() {
		t.Errorf("what the binaries link has changed; if that is meant, run make deps and say why in the commit\n%s", difference(string(known), text.String()))
	}
}

func forbidden(t *testing.T, binary, platform, pkg string) {
	t.Helper()
	for _, rule := range notLinked {
		if rule.binary == binary && matchesAny(rule.patterns, pkg) {
			t.Errorf("%s: %s links %s: %s", platform, binary, pkg, rule.why)
		}
	}
}

func oursFirst(a, b string) int {
	_, oursA := ours(a)
	_, oursB := ours(b)
	switch {
	case oursA && !oursB:
		return -1
	case oursB && !oursA:
		return 1
	}
	return strings.Compare(a, b)
}

// difference lists the lines that only one of two texts has.
func difference(before, after string) string {
	var out strings.Builder
	show := func(sign, a, b string) {
		for line := range strings.Lines(a) {
			if !strings.Contains("\n"+b, "\n"+line) {
				fmt.Fprint(&out, sign, line)
			}
		}
	}
	show("- ", before, after)
	show("+ ", after, before)
	return out.String()
}
