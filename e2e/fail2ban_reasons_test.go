package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"shellagent/shell"
)

// The filter names reasons as the table does, and all that say "unauthorized".
func TestFail2banNamesTheReasons(t *testing.T) {
	data, err := os.ReadFile("../examples/fail2ban/filter.d/shellagent.conf")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^_(?:normal|aggressive) = (.*)$`).FindAllStringSubmatch(string(data), -1) {
		named = append(named, strings.Split(m[1], "|")...)
	}
	for _, reason := range named {
		if row := shell.Reason(reason).Refusal(); string(row.Reason) != reason && reason != "%(_normal)s" {
			t.Errorf("%q is no reason", reason)
		}
	}
	for _, row := range shell.Refusals() {
		if (row.Code == "unauthorized" || row.Reason == shell.ReasonRateLimited) && !slices.Contains(named, string(row.Reason)) {
			t.Errorf("%s is not in the filter", row.Reason)
		}
	}
}
