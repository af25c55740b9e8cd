package shell

import (
	"strings"
	"testing"
)

func TestFilesCover(t *testing.T) {
	in := func(readOnly bool, paths ...string) Files { return Files{readOnly, paths} }
	tests := []struct {
		now, before Files
		want        bool
	}{
		{in(false), in(false), true},
		{in(false), in(true, "/a"), true},
		{in(true), in(false), false},
		{in(true), in(true, "/a"), true},
		{in(false, "/a"), in(false), false},
		{in(false, "/a"), in(false, "/a"), true},
		{in(false, "/a"), in(false, "/a/b"), true},
		{in(false, "/a"), in(false, "/ab"), false},
		{in(false, "/a/b"), in(false, "/a"), false},
		{in(false, "/a", "/b"), in(false, "/b", "/a"), true},
		{in(false, "/a"), in(false, "/a", "/b"), false},
		{in(false, "/"), in(false, "/a"), true},
		{in(true, "/"), in(false, "/a"), false},
	}
	for _, tt := range tests {
		if got := tt.now.Covers(tt.before); got != tt.want {
			t.Errorf("%+v covers %+v: %v", tt.now, tt.before, got)
		}
	}
}

func TestActions(t *testing.T) {
	for _, tt := range []struct {
		open OpenRequest
		want Action
		bad  string
	}{
		{OpenRequest{}, ActionShell, ""},
		{OpenRequest{Argv: []string{}}, ActionShell, ""},
		{OpenRequest{Argv: []string{"a"}}, ActionExec, ""},
		{OpenRequest{Command: " "}, ActionExec, ""},
		{OpenRequest{Subsystem: "sftp", NoInput: true}, ActionSFTP, ""},
		{OpenRequest{Subsystem: "copy"}, ActionSFTP, ""},
		{OpenRequest{Subsystem: "forward"}, ActionForward, ""},
		{OpenRequest{Subsystem: "forward", Terminal: &Terminal{}}, ActionForward, "a subsystem takes no argv"},
		{OpenRequest{Subsystem: "copy", Command: "a"}, ActionSFTP, "a subsystem takes no argv"},
		{OpenRequest{Subsystem: "shell"}, ActionShell, `there is no subsystem "shell": there are sftp, copy, forward`},
		{OpenRequest{Subsystem: "sftp", Argv: []string{"a"}}, ActionSFTP, "a subsystem takes no argv"},
		{OpenRequest{Subsystem: "sftp", Command: "a"}, ActionSFTP, "a subsystem takes no argv"},
		{OpenRequest{Subsystem: "sftp", Terminal: &Terminal{}}, ActionSFTP, "a subsystem takes no argv"},
	} {
		err := tt.open.Validate()
		if got := tt.open.Action(); got != tt.want || (err == nil) != (tt.bad == "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%+v is %s, %v", tt.open, got, err)
		}
	}
}
