package sshargs

import "testing"

func TestPermit(t *testing.T) {
	to := func(host string, port int) Endpoint { return Endpoint{Host: host, Port: port} }
	for _, test := range []struct {
		values  []string
		e       Endpoint
		allowed bool
	}{
		{nil, to("h", 80), true}, {[]string{"any"}, to("h", 80), true}, {[]string{"none"}, to("h", 80), false},
		{[]string{"h:80"}, to("h", 80), true}, {[]string{"h:80"}, to("h", 81), false}, {[]string{"h:80"}, to("g", 80), false},
		{[]string{"h:*"}, to("h", 81), true}, {[]string{"*:80"}, to("g", 80), true}, {[]string{"*:80"}, to("g", 81), false},
		{[]string{"a:1", "[::1]:http"}, to("::1", 80), true}, {[]string{"a:1", "[::1]:http"}, to("a", 80), false},
	} {
		permit, err := ParsePermit(test.values)
		if err != nil || permit.Allows(test.e) != test.allowed {
			t.Errorf("%q allows %v: %v, %v", test.values, test.e, permit.Allows(test.e), err)
		}
	}
	for _, values := range [][]string{{"any", "h:80"}, {"h:80", "none"}, {"h"}, {"h:"}, {"h:0"}, {"h:x:1"}, {"h:70000"}, {""}} {
		if permit, err := ParsePermit(values); err == nil {
			t.Errorf("%q is taken as %v", values, permit)
		}
	}
}
