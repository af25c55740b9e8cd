package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"shellagent/config"
)

func loadAudit(t *testing.T, text string) (*loaded, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.json")
	if err := os.WriteFile(path, fmt.Appendf(nil, "{\n%s\n\"stateDir\": \"state\"}\n", text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(path)
}

func TestAuditMistakesAreLocated(t *testing.T) {
	for text, remedy := range map[string]string{
		`"audit": {"maxbytes": 1},`:               `agent.json:2:`,
		`"audit": 1,`:                             `agent.json:2:10: `,
		`"audit": {"maxBytes": 100},`:             `agent.json:2:23: 100 bytes are too few`,
		`"audit": {"whenFull": "panic"},`:         `agent.json:2:23: "panic": use "drop"`,
		`"audit": {"sinks": [{"type": "file"}]},`: `agent.json:2:30: a file needs a path`,
		`"audit": {"sinks": [{"type": "journald"},` + "\n" + `{"type":"journald"}]},`:      `two sinks have the name "journald"`,
		`"audit": {"sinks": [{"type": "https", "url": "http://x/"}]},`:                     `agent.json:2:46: "http://x/" is not https`,
		`"audit": {"sinks": [{"type": "https", "url": "https://x/", "gzip": 1}]},`:         `agent.json:2:`,
		`"audit": {"sinks": [{"type": "https", "url": "https://x/", "timeout": "0.1s"}]},`: `the timeout is 100ms: use 1s to 10m`,
	} {
		if _, err := loadAudit(t, text); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v, want %s", text, err, remedy)
		}
	}
}

func TestAuditIsOnForRoot(t *testing.T) {
	for text, want := range map[string]bool{
		"": os.Geteuid() == 0, `"audit": false,`: false, `"audit": true,`: true, `"audit": {},`: true,
	} {
		l, err := loadAudit(t, text)
		if err != nil {
			t.Fatal(err)
		}
		if l.keepsTrail() != want {
			t.Errorf("%s: %v", text, l.keepsTrail())
		}
	}
}

func TestCheckTellsTheTrail(t *testing.T) {
	l, err := loadAudit(t, `"audit": {"keep": 3, "whenFull": "refuse", "sinks": [{"name": "siem", "type": "https", "url": "https://x/", "headers": {"X-Key": "secret"}}, {"type": "file", "path": "copy"}]},`)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	printAudit(&out, l.auditSummary())
	dir := filepath.Dir(l.path)
	want := "audit trail in " + dir + "/state/audit: 3 files of 64 MiB are kept, and when that is not enough no session begins\n" +
		"  also to siem: https https://x/\n  also to file: file " + dir + "/copy\n"
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
	again, err := loadAudit(t, `"audit": {"dir": "other", "maxBytes": 1000000},`)
	if err != nil {
		t.Fatal(err)
	}
	if names := l.needRestart(again); !slices.Contains(names, "audit.dir") || !slices.Contains(names, "audit.maxBytes") || slices.Contains(names, "audit") {
		t.Errorf("%v", names)
	}
}

// The example shows every setting of the trail, and all of it is good. Package
// sources holds the rest of it against a host.
func TestTheExamplesTrail(t *testing.T) {
	const path = "../../examples/agent.json"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &loaded{path: path}
	file, err := config.Decode(path, text, &l.settings)
	if err != nil {
		t.Fatal(err)
	}
	l.rootAudit(t.TempDir())
	if err := l.check(); err != nil {
		t.Error(file.Locate(err))
	}
	if len(l.Audit.Sinks) == 0 || !l.Sources["root"].Record.On {
		t.Errorf("%+v", l.Audit)
	}
	settings := reflect.TypeFor[auditSettings]()
	for i := range settings.NumField() {
		if name := settings.Field(i).Tag.Get("json"); name != "-" && !strings.Contains(string(text), `"`+name+`": `) {
			t.Errorf("%s is not shown", name)
		}
	}
}
