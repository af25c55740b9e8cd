package audit_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"shellagent/audit"
)

// docs/audit.md names every kind of event, every field, and none that is not there.
func TestDocumentNamesEveryFact(t *testing.T) {
	text, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]bool)
	for _, m := range regexp.MustCompile(`Kind = "([a-z.]+)"`).FindAllSubmatch(source, -1) {
		kinds[string(m[1])] = true
		if !strings.Contains(string(text), "\n| `"+string(m[1])+"` |") {
			t.Errorf("docs/audit.md does not say when %s is told", m[1])
		}
	}
	_, facts, _ := strings.Cut(string(text), "\n## Facts")
	facts, fields, _ := strings.Cut(facts, "\n## Fields")
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z.]+)`").FindAllStringSubmatch(facts, -1) {
		if !kinds[m[1]] {
			t.Errorf("docs/audit.md has %s, which nobody tells", m[1])
		}
	}
	fields, _, _ = strings.Cut(fields, "\n## ")
	known := make(map[string]bool)
	event := reflect.TypeFor[audit.Event]()
	for i := range event.NumField() {
		name, _, _ := strings.Cut(event.Field(i).Tag.Get("json"), ",")
		known[name] = true
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + name + "`").MatchString(fields) {
			t.Errorf("docs/audit.md does not say what %s is", name)
		}
	}
	for _, row := range regexp.MustCompile(`(?m)^\|([^|]*)\|`).FindAllStringSubmatch(fields, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if !known[m[1]] {
				t.Errorf("docs/audit.md has the field %s, which no event has", m[1])
			}
		}
	}
}
