package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLinksNoServer keeps the client what it is: a program for laptops, of
// which a person can say what it contains.
func TestLinksNoServer(t *testing.T) {
	forbidden := map[string]string{
		"shellagent/broker":              "decides on the host",
		"shellagent/sources":             "is the host's policy",
		"shellagent/shell/process":       "starts programs on the host",
		"shellagent/account":             "reads the host's users",
		"shellagent/metrics":             "is the host's",
		"shellagent/internal/agent":      "is the host's commands",
		"shellagent/internal/mangen":     "is for builds with the tag mangen",
		"github.com/prometheus/":         "is for metrics",
		"github.com/expr-lang/":          "is for jwtRule",
		"github.com/fsnotify/":           "is for reloading",
		"github.com/coreos/":             "is for systemd",
		"github.com/elastic/":            "is for the front's seccomp filter",
		"github.com/landlock-lsm/":       "is for the front's Landlock rules",
		"github.com/creack/pty":          "opens terminals on the host",
		"github.com/spf13/cobra/doc":     "is larger than the client",
		"github.com/cpuguy83/go-md2man/": "is for man pages",
		"testing":                        "is for tests",
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", "list", "-deps", ".")
		cmd.Env = append(cmd.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list for %s: %v", system, err)
		}
		for _, linked := range strings.Fields(string(out)) {
			for path, why := range forbidden {
				if linked == strings.TrimSuffix(path, "/") || strings.HasPrefix(linked, strings.TrimSuffix(path, "/")+"/") {
					t.Errorf("%s: agent-cli links %s, which %s", system, linked, why)
				}
			}
		}
	}
}
