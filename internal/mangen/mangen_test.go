package mangen

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"shellagent/internal/cli"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	root := cli.Program{Name: "agent", Short: "a shell"}.Tree()
	if err := Write(root, dir); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"man1/agent.1":             "agent-exec(1)",
		"man1/agent-exec.1":        `\fB--command\fP`,
		"man1/agent-keys-public.1": "OpenSSH",
		"completions/agent.bash":   "__complete",
		"completions/_agent":       "#compdef agent",
		"completions/agent.fish":   "complete -c agent",
		"completions/agent.ps1":    "Register-ArgumentCompleter",
	} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Contains(content, []byte(want)) {
			t.Errorf("%s: no %q: %v", file, want, err)
		}
	}
	if bash, err := exec.LookPath("bash"); err == nil {
		if out, err := exec.Command(bash, "-n", filepath.Join(dir, "completions/agent.bash")).CombinedOutput(); err != nil {
			t.Errorf("bash -n: %v: %s", err, out)
		}
	}
}
