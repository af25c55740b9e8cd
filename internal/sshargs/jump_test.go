package sshargs

import (
	"slices"
	"testing"
)

func TestParseJump(t *testing.T) {
	for text, want := range map[string][]Destination{
		"bastion":                  {{Hostname: "bastion"}},
		"ops@bastion:4001":         {{Hostname: "bastion", Port: 4001, User: "ops"}},
		"a,b@c,[2001:db8::1]:4002": {{Hostname: "a"}, {Hostname: "c", User: "b"}, {Hostname: "2001:db8::1", Port: 4002}},
		"2001:db8::1":              {{Hostname: "2001:db8::1"}},
		"ssh://ops@bastion:4001/":  {{Hostname: "bastion", Port: 4001, User: "ops"}},
		"[::1]":                    {{Hostname: "::1"}},
	} {
		if got, err := ParseJump(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "a,", ",a", "@a", "a:", "a:0", "a:70000", "a:x", "-a", "a b", "a/b", "ssh://", "u@"} {
		if got, err := ParseJump(text); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}
