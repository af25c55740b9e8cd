package sshargs

import "testing"

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"plain-1.2/x@y:3": "plain-1.2/x@y:3",
		"":                "''",
		"a b":             "'a b'",
		"it's $HOME":      `'it'\''s $HOME'`,
	} {
		if got := ShellWord(in); got != want {
			t.Errorf("ShellWord(%q) = %s, want %s", in, got, want)
		}
	}
}
