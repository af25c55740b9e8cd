package broker

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"shellagent/shell"
)

// Whatever jwtauth refuses has a row of its own: its reasons travel as text, so
// that it need not import the table.
func TestEveryReasonOfATokenIsInTheTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../jwtauth/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		found++
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Errorf("%s is no literal", spec.Names[0].Name)
			return true
		}
		reason, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		if row := shell.Reason(reason).Refusal(); row.Reason != shell.Reason(reason) {
			t.Errorf("jwtauth.%s is %q, for which the table has no row", spec.Names[0].Name, reason)
		}
		return true
	})
	if found < 10 {
		t.Errorf("found %d reasons: have they moved?", found)
	}
}

func TestSentence(t *testing.T) {
	long := strings.Repeat("é", maxDetail)
	for text, want := range map[string]string{
		"plain":                      "plain",
		"a\x1b[2J\u202eb\u009bc\x00": "a[2Jbc",
		"bad \xff UTF-8":             "bad  UTF-8",
		long:                         strings.Repeat("é", (maxDetail-3)/2) + "…",
		"":                           "",
	} {
		got := sentence(text)
		if got != want || len(got) > maxDetail || !utf8.ValidString(got) {
			t.Errorf("%.40q became %.40q, %d bytes", text, got, len(got))
		}
	}
}
