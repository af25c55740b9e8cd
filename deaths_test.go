package shellagent_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// deaths reads a table of what happens to sessions when something dies, row by
// row and cell by cell.
func deaths(t *testing.T, file string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begins := strings.Cut(string(text), "<!-- deaths:begin -->\n")
	table, _, ends := strings.Cut(rest, "<!-- deaths:end -->")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if !begins || !ends || len(lines) < 3 {
		t.Fatalf("%s has no table of deaths", file)
	}
	for _, line := range lines[2:] {
		rows = append(rows, strings.Split(strings.Trim(line, "| "), " | "))
	}
	return rows
}

// everyTest is the names of all tests of the module.
func everyTest(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\) \{`)
	names := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(text, -1) {
			names[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every row of SECURITY.md names tests that there are, and README.md has the same
// rows in short.
func TestDeathsAreTested(t *testing.T) {
	long, short := deaths(t, "SECURITY.md"), deaths(t, "README.md")
	if len(long) != len(short) {
		t.Errorf("SECURITY.md has %d rows and README.md %d", len(long), len(short))
	}
	for i, row := range long {
		if i < len(short) && (len(short[i]) != 2 || short[i][0] != row[0]) {
			t.Errorf("row %d of SECURITY.md is about %q and of README.md %q", i+1, row[0], short[i][0])
		}
	}
	known, named := everyTest(t), regexp.MustCompile("`(Test\\w+)`")
	for _, row := range long {
		if len(row) != 3 {
			t.Fatalf("%q has %d cells", row[0], len(row))
		}
		tests := named.FindAllStringSubmatch(row[2], -1)
		if len(tests) == 0 {
			t.Errorf("%s: no test shows it", row[0])
		}
		for _, found := range tests {
			if !known[found[1]] {
				t.Errorf("%s: there is no test %s", row[0], found[1])
			}
		}
	}
}
