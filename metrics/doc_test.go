package metrics

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"shellagent/shell"
)

var (
	documented = regexp.MustCompile(`(?m)^//\t(\w+)(?:\{([\w,]+)\})? +(gauge|counter|histogram):`)
	exported   = regexp.MustCompile(`(?m)^# TYPE shellagent_(\w+) (\w+)$`)
)

// Every metric that an agent exports is in the package's documentation, with its
// kind and its labels, and none that is not there.
func TestDocumentationIsAScrape(t *testing.T) {
	m := New(Config{Version: "test", Trail: func() *Trail { return &Trail{Sinks: []Sink{{Name: "siem", Age: time.Second}}} }})
	m.Configure([]string{"debug"}, []string{"alice"})
	m.Observe(shell.Event{Kind: shell.EventOpened, Session: "1", Source: "debug", Subject: "alice"})
	text, err := m.Text(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var scraped []string
	for _, found := range exported.FindAllStringSubmatch(string(text), -1) {
		scraped = append(scraped, fmt.Sprintf("%s{%s} %s", found[1], strings.Join(labelsOf(string(text), found[1]), ","), found[2]))
	}
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, found := range documented.FindAllStringSubmatch(string(source), -1) {
		labels := strings.Split(found[2], ",")
		slices.Sort(labels)
		told = append(told, fmt.Sprintf("%s{%s} %s", found[1], strings.Join(labels, ","), found[3]))
	}
	for _, one := range scraped {
		if !slices.Contains(told, one) {
			t.Errorf("doc.go lacks %s", one)
		}
	}
	for _, one := range told {
		if !slices.Contains(scraped, one) {
			t.Errorf("doc.go has %s, which no agent exports", one)
		}
	}
}

// labelsOf are the labels of a metric's first line.
func labelsOf(text, name string) (labels []string) {
	line := regexp.MustCompile(`(?m)^shellagent_` + name + `(?:_bucket)?\{(.*)\} `).FindStringSubmatch(text)
	if line == nil {
		return nil
	}
	for _, found := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(line[1], -1) {
		if found[1] != "le" {
			labels = append(labels, found[1])
		}
	}
	slices.Sort(labels)
	return labels
}

// What docs/audit.md says of metrics is all that there is about the trail and
// recordings.
func TestAuditDocumentNamesItsMetrics(t *testing.T) {
	m := New(Config{Trail: func() *Trail { return &Trail{Sinks: []Sink{{Name: "siem"}}} }})
	text, err := m.Text(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile("`shellagent_(\\w+)`").FindAllStringSubmatch(string(document), -1) {
		if !strings.Contains(string(text), "\n# TYPE shellagent_"+name[1]+" ") {
			t.Errorf("docs/audit.md names %s, which no agent exports", name[1])
		}
	}
	for _, found := range exported.FindAllStringSubmatch(string(text), -1) {
		about := strings.HasPrefix(found[1], "audit_") || strings.HasPrefix(found[1], "record")
		if about && !strings.Contains(string(document), "`shellagent_"+found[1]+"`") {
			t.Errorf("docs/audit.md lacks %s", found[1])
		}
	}
}
