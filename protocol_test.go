package shellagent_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"shellagent/shell"
)

const (
	protocolFile  = "PROTOCOL.md"
	refusalsBegin = "<!-- refusals:begin -->\n"
	refusalsEnd   = "<!-- refusals:end -->\n"
)

// TestRefusalTable keeps the table of PROTOCOL.md that of the code; "make docs"
// writes it anew.
func TestRefusalTable(t *testing.T) {
	old, err := os.ReadFile(protocolFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := bytes.Cut(old, []byte(refusalsBegin))
	_, after, ends := bytes.Cut(rest, []byte(refusalsEnd))
	if !begins || !ends {
		t.Fatalf("%s has no %s…%s", protocolFile, refusalsBegin, refusalsEnd)
	}
	current := string(before) + refusalsBegin + refusalTable() + refusalsEnd + string(after)
	if *update {
		if err := os.WriteFile(protocolFile, []byte(current), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(old) != current {
		t.Errorf("the refusals in %s are not those of shell.Refusals: run \"make docs\"", protocolFile)
	}
}

// refusalTable has a line for each answer that a client can be given, with the
// reasons that a log and a metric tell apart behind it.
func refusalTable() string {
	type answer struct {
		code   string
		status int
		text   string
	}
	var order []answer
	reasons := make(map[answer][]string)
	for _, r := range shell.Refusals() {
		a := answer{r.Code, r.Status, r.Text}
		if reasons[a] == nil {
			order = append(order, a)
		}
		reasons[a] = append(reasons[a], "`"+string(r.Reason)+"`")
	}
	var b strings.Builder
	b.WriteString("| code | status | `detail`, unless more can be said | reasons, in the log and as `shellagent_refusals_total{reason=…}` |\n|---|---|---|---|\n")
	for _, a := range order {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", a.code, a.status, a.text, strings.Join(reasons[a], ", "))
	}
	return b.String()
}
