package targets

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const grouped = `{
	"targets": {"web1": {}, "web2": {}, "db1": {}},
	"groups": {
		"web": ["web1", "web2"],
		"most": ["@web", "10.0.0.7:4001", "web2"],
		"every": ["@most", "@all"],
		"nobody": [],
		"lost": ["@nowhere"],
	},
}`

func TestExpand(t *testing.T) {
	c, err := Load(Paths{}, write(t, "client.json", grouped))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ source, list, want, err string }{
		{"", "web1", "web1", ""},
		{"", "web2,web1", "web2 web1", ""},
		{"", "web1,web1,web2", "web1 web2", ""},
		{"", "@web", "web1 web2", ""},
		{"", "db1,@web,db1", "db1 web1 web2", ""},
		{"", "@most", "web1 web2 10.0.0.7:4001", ""},
		{"", "@every", "web1 web2 10.0.0.7:4001 db1", ""},
		{"", "@all", "db1 web1 web2", ""},
		{"", "@nobody", "", ""},
		{"debug", "web1,@web", "debug@web1 debug@web2", ""},
		{"", "debug@web1,root@web1,root@db1", "debug@web1 root@web1 root@db1", ""},
		{"", "debug@@web", "debug@web1 debug@web2", ""},
		{"", "elsewhere:7,https://host/x", "elsewhere:7 https://host/x", ""},
		{"", "debug@web1,web2", "", "for some targets only"},
		{"", "debug@web1,@web", "", "for some targets only"},
		{"debug", "root@web1,web2", "", "given twice"},
		{"Debug", "web1,web2", "", "not a source"},
		{"", "Debug@web1,Debug@web2", "", "not a source"},
		{"", "web1,", "", "empty"},
		{"", ",", "", "empty"},
		{"", "web1,-x", "", "does not start with '-'"},
		{"", "@webb", "", "there is no group @webb"},
		{"", "@lost", "", "there is no group @nowhere"},
		{"", "@", "", "there is no group"},
	}
	for _, tt := range tests {
		picks, err := c.Expand(tt.source, tt.list)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s %s: error %v, want one with %q", tt.source, tt.list, err, tt.err)
			}
			continue
		}
		if got := words(picks); got != tt.want || err != nil {
			t.Errorf("%s %s: %s, %v; want %s", tt.source, tt.list, got, err, tt.want)
		}
	}
}

func words(picks []Pick) string {
	var all []string
	for _, p := range picks {
		all = append(all, p.String())
	}
	return strings.Join(all, " ")
}

func TestExpandIsBounded(t *testing.T) {
	c := &Config{Targets: map[string]Entry{}}
	if _, err := c.Expand("", "@all"); err == nil || !strings.Contains(err.Error(), "@all is empty") {
		t.Errorf("all of nothing: %v", err)
	}
	for i := range MaxTargets + 1 {
		c.Targets[fmt.Sprintf("h%d", i)] = Entry{}
	}
	if _, err := c.Expand("", "@all"); err == nil || !strings.Contains(err.Error(), "more than 4096") {
		t.Errorf("too many: %v", err)
	}
	// Each has the next twice: whoever went through all of it would not end.
	c.Groups = map[string][]string{}
	for i := range maxGroupDepth {
		next := fmt.Sprintf("@g%d", i+1)
		c.Groups[fmt.Sprintf("g%d", i)] = strings.Split(strings.Repeat(next+" ", 50)+next, " ")
	}
	c.Groups[fmt.Sprintf("g%d", maxGroupDepth)] = []string{"h1"}
	if picks, err := c.Expand("", "@g1"); words(picks) != "h1" || err != nil {
		t.Errorf("wide: %v %v", picks, err)
	}
	if _, err := c.Expand("", "@g0"); err == nil || !strings.Contains(err.Error(), "stands in") {
		t.Errorf("deep: %v", err)
	}
	// A loop that two files make together shows only here.
	c.Groups = map[string][]string{"a": {"@b"}, "b": {"@a"}}
	if _, err := c.Expand("", "@b"); err == nil || !strings.Contains(err.Error(), "@b has @a has @b") {
		t.Errorf("loop: %v", err)
	}
}

func TestGroupsOfTwoFiles(t *testing.T) {
	system := write(t, "client.json", `{"targets": {"a": {}, "b": {}}, "groups": {"x": ["a"], "y": ["b"]}}`)
	user := write(t, "config.json", `{"groups": {"x": ["@y", "a"]}}`)
	c, err := Load(Paths{User: user, System: system}, "")
	if err != nil {
		t.Fatal(err)
	}
	if picks, err := c.Expand("", "@x"); words(picks) != "b a" || err != nil {
		t.Errorf("%v %v", picks, err)
	}
	if got := strings.Join(c.GroupNames(), " "); got != "all x y" {
		t.Errorf("names: %s", got)
	}
}

func TestGroupsAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		"{\"groups\": {\n\"all\": [\"a\"]}}":                 "2:8: ",
		"{\"groups\": {\n\"a b\": [\"a\"]}}":                 "2:8: ",
		"{\"groups\": {\n\"a\": [\"b\", \"\"]}}":             "2:12: ",
		"{\"groups\": {\n\"a\": [\"x@b\"]}}":                 "2:7: ",
		"{\"groups\": {\n\"a\": [\"b,c\"]}}":                 "2:7: ",
		"{\"groups\": {\n\"a\": [\"-b\"]}}":                  "2:7: ",
		"{\"groups\": {\n\"a\": [\"@@b\"]}}":                 "2:7: ",
		"{\"groups\": {\n\"a\": [\"b\", \"@a\"]}}":           "2:6: the group @a contains itself",
		"{\"groups\": {\n\"a\": [\"@b\"], \"b\": [\"@a\"]}}": "2:6: the group @a contains itself",
	} {
		path := write(t, "client.json", content)
		_, err := Load(Paths{}, path)
		if err == nil || !strings.HasPrefix(err.Error(), path+":"+want) {
			t.Errorf("%s: %v, want %s:%s…", content, err, filepath.Base(path), want)
		}
	}
}

func TestIsList(t *testing.T) {
	for word, want := range map[string]bool{
		"web1": false, "debug@web1": false, "web1,web2": true, "@web": true, "debug@@web": true, "https://h/x": false, "": false,
	} {
		if IsList(word) != want {
			t.Errorf("%q: %v", word, !want)
		}
	}
}

// FuzzExpand: whatever is typed, each target comes once, and reads back as itself.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"a,b", "x@a,x@b", "@web", "s@@most", "a,,b", "@all,@nowhere", "a@b@c"} {
		f.Add("", s)
	}
	f.Add("debug", "@all")
	path := filepath.Join(f.TempDir(), "client.json")
	f.Fuzz(func(t *testing.T, source, list string) {
		c := &Config{
			Targets: map[string]Entry{"a": {}, "b": {}}, files: []string{path},
			Groups: map[string][]string{"web": {"a", "b"}, "most": {"@web", "c"}, "loop": {"@loop"}},
		}
		picks, err := c.Expand(source, list)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, p := range picks {
			s, name, err := SplitAddress(p.String())
			if seen[p.String()] || err != nil || s != p.Source || name != p.Name && !strings.Contains(p.Name, "@") {
				t.Fatalf("%q %q has %q: %q %q %v", source, list, p, s, name, err)
			}
			seen[p.String()] = true
		}
	})
}
