package shell

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addrs(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

func host(name string, low, high uint16) Destination {
	return Destination{Host: name, Low: low, High: high}
}

func network(prefix string, low, high uint16) Destination {
	return Destination{Prefix: netip.MustParsePrefix(prefix), Low: low, High: high}
}

func TestReach(t *testing.T) {
	for _, tt := range []struct {
		rule Destination
		host string
		port uint16
		as   []netip.Addr
		want []netip.Addr
	}{
		{host("db", 5432, 5432), "db", 5432, addrs("10.0.0.5", "fd00::5"), addrs("10.0.0.5", "fd00::5")},
		{host("db", 5432, 5432), "db", 5433, addrs("10.0.0.5"), nil},
		{host("db", 5432, 5432), "dbx", 5432, addrs("10.0.0.5"), nil},
		{host("db", 5432, 5432), "", 5432, addrs("10.0.0.5"), nil}, // an address is no name
		{host("db", 1, 65535), "db", 1, addrs("127.0.1.1"), addrs("127.0.1.1")},
		// Whoever answers for a name gets nobody at the host's own secrets.
		{host("db", 1, 65535), "db", 80, addrs("169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200", "224.0.0.1", "::ffff:169.254.169.254"), nil},
		{host("*.example.org", 443, 443), "a.example.org", 443, addrs("10.0.0.5", "127.0.0.1", "::1", "169.254.169.254"), addrs("10.0.0.5")},
		{host("*.example.org", 443, 443), "a.b.example.org", 443, addrs("10.0.0.5"), addrs("10.0.0.5")},
		{host("*.example.org", 443, 443), "example.org", 443, addrs("10.0.0.5"), nil},
		{host("*.example.org", 443, 443), ".example.org", 443, addrs("10.0.0.5"), nil},
		{host("*.example.org", 443, 443), "badexample.org", 443, addrs("10.0.0.5"), nil},
		{host("*.example.org", 443, 443), "a.example.org.evil", 443, addrs("10.0.0.5"), nil},
		{network("10.0.0.0/8", 8000, 9000), "anything", 8500, addrs("10.1.2.3", "11.0.0.1"), addrs("10.1.2.3")},
		{network("10.0.0.0/8", 8000, 9000), "", 9000, addrs("::ffff:10.1.2.3"), addrs("::ffff:10.1.2.3")},
		{network("10.0.0.0/8", 8000, 9000), "", 9001, addrs("10.1.2.3"), nil},
		{network("169.254.169.254/32", 80, 80), "", 80, addrs("169.254.169.254"), addrs("169.254.169.254")},
		{network("fe80::/10", 1, 65535), "", 80, addrs("fe80::1%eth0"), addrs("fe80::1%eth0")},
		{host("localhost", 1, 65535), "localhost", 80, addrs("127.0.0.1", "::1"), addrs("127.0.0.1", "::1")},
		{host("localhost", 1, 65535), "", 80, addrs("127.0.0.1", "::1", "127.0.0.2"), addrs("127.0.0.1", "::1")},
		{host("*", 1, 65535), "x", 80, addrs("127.0.0.1", "169.254.169.254"), addrs("127.0.0.1", "169.254.169.254")},
		{host("*", 443, 443), "", 80, addrs("10.0.0.1"), nil},
		{Destination{Path: "/x"}, "", 0, addrs("10.0.0.1"), nil},
	} {
		got := Reach([]Destination{tt.rule}, tt.host, tt.port, tt.as)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q port %d as %v reaches %v, want %v", tt.rule, tt.host, tt.port, tt.as, got, tt.want)
		}
		if len(got) > 0 && !MayReach([]Destination{tt.rule}, tt.host, tt.port) {
			t.Errorf("%s: %q port %d would not be looked up", tt.rule, tt.host, tt.port)
		}
	}
	for _, tt := range []struct {
		rule Destination
		host string
		port uint16
	}{{host("db", 1, 2), "other", 1}, {host("db", 1, 2), "db", 3}, {network("10.0.0.0/8", 1, 2), "db", 3}, {host("*.example.org", 1, 2), "example.org", 1}, {Destination{Path: "/x"}, "db", 0}} {
		if MayReach([]Destination{tt.rule}, tt.host, tt.port) {
			t.Errorf("%s: %q port %d would be looked up", tt.rule, tt.host, tt.port)
		}
	}
}

func TestListen(t *testing.T) {
	both := addrs("127.0.0.1", "::1")
	for _, tt := range []struct {
		rule Destination
		host string
		port uint16
		on   []netip.Addr
		want []netip.Addr
		ok   bool
	}{
		{host("localhost", 1024, 65535), "localhost", 8080, both, both, true},
		{host("localhost", 1024, 65535), "localhost", 0, both, both, true},
		{host("localhost", 8080, 65535), "localhost", 0, both, nil, false},
		{host("localhost", 1024, 9000), "localhost", 0, both, nil, false},
		{host("localhost", 1024, 65535), "localhost", 80, both, nil, false},
		{host("localhost", 1024, 65535), "", 8080, addrs("127.0.0.1"), addrs("127.0.0.1"), true},
		{host("localhost", 1024, 65535), "", 8080, addrs("10.0.0.1"), nil, false},
		{host("localhost", 1, 65535), "*", 8080, nil, nil, false},
		{network("127.0.0.1/32", 8080, 8080), "localhost", 8080, both, addrs("127.0.0.1"), true},
		{network("0.0.0.0/0", 1, 65535), "*", 8080, nil, nil, false},
		{host("*", 8080, 8080), "*", 8080, nil, nil, true},
		{host("*", 8080, 8080), "*", 0, nil, nil, false},
		{host("*", 1, 65535), "*", 0, nil, nil, true},
		{host("*", 8080, 8080), "", 8080, addrs("10.0.0.1"), addrs("10.0.0.1"), true},
		{Destination{Path: "/x"}, "*", 0, nil, nil, false},
		{Destination{Path: "/x"}, "localhost", 0, both, nil, false},
	} {
		got, ok := Listen([]Destination{tt.rule}, tt.host, tt.port, tt.on)
		if ok != tt.ok || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q port %d on %v: %v, %v", tt.rule, tt.host, tt.port, tt.on, got, ok)
		}
	}
}

func TestHasPath(t *testing.T) {
	rules := []Destination{{Path: "/run/postgresql/*"}, {Path: "/run/x.sock"}, host("*", 1, 65535)}
	for name, want := range map[string]bool{
		"/run/postgresql/.s.PGSQL.5432": true, "/run/x.sock": true,
		"/run/postgresql": false, "/run/postgresql/a/b": false, "/run/x.sock2": false, "/run": false, "": false,
	} {
		if HasPath(rules, name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestForwardCovers(t *testing.T) {
	path := func(p string) Destination { return Destination{Path: p} }
	for _, tt := range []struct {
		now, before Destination
		want        bool
	}{
		{host("db", 1, 9), host("db", 1, 9), true},
		{host("db", 1, 9), host("db", 2, 8), true},
		{host("db", 2, 8), host("db", 1, 9), false},
		{host("db", 1, 9), host("dc", 1, 9), false},
		{host("*", 1, 9), host("db", 1, 9), true},
		{host("*", 1, 9), network("10.0.0.0/8", 1, 9), true},
		{host("*", 1, 9), path("/x"), false},
		{path("/x"), host("*", 1, 9), false},
		{host("db", 1, 9), host("*", 1, 9), false},
		{host("*.a", 1, 9), host("b.a", 1, 9), true},
		{host("*.a", 1, 9), host("*.b.a", 1, 9), true},
		{host("*.b.a", 1, 9), host("*.a", 1, 9), false},
		{network("10.0.0.0/8", 1, 9), network("10.1.0.0/16", 1, 9), true},
		{network("10.1.0.0/16", 1, 9), network("10.0.0.0/8", 1, 9), false},
		{network("10.0.0.0/8", 1, 9), network("11.0.0.0/16", 1, 9), false},
		{network("0.0.0.0/0", 1, 9), network("fd00::/16", 1, 9), false},
		{network("127.0.0.0/8", 1, 9), host("localhost", 1, 9), false},
		{path("/run/*"), path("/run/x"), true},
		{path("/run/*"), path("/run/*"), true},
		{path("/run/*"), path("/run/*/x"), false},
		{path("/run/a*"), path("/run/*"), false},
		{path("/run/*"), path("/run/x/y"), false},
	} {
		one := func(d Destination) Forward { return Forward{Local: []Destination{d}} }
		if got := one(tt.now).Covers(one(tt.before)); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.now, tt.before, got)
		}
		if (Forward{Remote: []Destination{tt.now}}).Covers(one(tt.before)) {
			t.Errorf("one direction covers the other")
		}
	}
	all := Forward{Local: []Destination{host("a", 1, 1), host("b", 1, 1)}, Remote: []Destination{host("*", 1, 1)}, Agent: true}
	if !all.Covers(Forward{}) || !all.Covers(all) || !all.Covers(Forward{Local: all.Local[1:], Agent: true}) {
		t.Error("all does not cover a part")
	}
	if (Forward{Local: all.Local, Remote: all.Remote}).Covers(all) || (Forward{Agent: true}).Covers(all) {
		t.Error("a part covers all")
	}
}

func TestDestinationsAsText(t *testing.T) {
	for want, d := range map[string]Destination{
		"db:5432": host("db", 5432, 5432), "*:*": host("*", 1, 65535), "10.0.0.0/8:8000-9000": network("10.0.0.0/8", 8000, 9000),
		"[::1]:*": network("::1/128", 1, 65535), "[2001:db8::/32]:1": network("2001:db8::/32", 1, 1), "127.0.0.1:80": network("127.0.0.1/32", 80, 80),
		"/run/*": {Path: "/run/*"},
	} {
		if got := d.String(); got != want || strings.Contains(got, " ") {
			t.Errorf("%+v is %s, want %s", d, got, want)
		}
	}
}
