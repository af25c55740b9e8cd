package account

import (
	"testing"
	"time"
)

func TestShadow(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) // day 20574
	tests := []struct {
		line string
		want State
	}{
		{"a:*:19000:0:99999:7:::", State{}},
		{"a::19000:0:99999:7:::", State{}},
		{"a:$6$salt$hash:19000:0:99999:7:::", State{}},
		{"a:!:19000:0:99999:7:::", State{}},
		{"a:!!:19000:0:99999:7:::", State{}},
		{"a:!*:::::::", State{Locked: true}},
		{"a:!$6$salt$hash:19000:0:99999:7:::", State{Locked: true}},
		{"a:*LK*:19000:0:99999:7:::", State{}},
		{"a:*:19000:0:99999:7::0:", State{Expired: true}},
		{"a:*:19000:0:99999:7::20574:", State{Expired: true}},
		{"a:*:19000:0:99999:7::20575:", State{}},
		{"a:*:19000:0:99999:7::-1:", State{}},
		{"a:!x:19000:0:99999:7::1:", State{Locked: true, Expired: true}},
	}
	for _, tt := range tests {
		s, err := parseShadow(tt.line)
		if got := s.state(now); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.line, got, err, tt.want)
		}
	}
	for _, line := range []string{"", "a:b", "a:*:1:2:3:4:5:soon:"} {
		if _, err := parseShadow(line); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
}

func TestSystemAccounts(t *testing.T) {
	for uid, want := range map[uint32]bool{0: true, 33: true, 999: true, 1000: false, 60000: false, 65534: true} {
		if got := (User{UID: uid}).System(); got != want {
			t.Errorf("uid %d: %v", uid, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash")
	f.Add("wheel:x:10:root,alice")
	f.Add("root:*:20228:0:99999:7::100:")
	f.Add("alice                 4 24 27")
	f.Fuzz(func(t *testing.T, line string) {
		if u, err := parseUser(line); err == nil && (u.Name == "" || u.Home == "" || u.Shell == "" || u.UID == 1<<32-1 || u.GID == 1<<32-1) {
			t.Errorf("user %+v", u)
		}
		if g, err := parseGroup(line); err == nil && (g.Name == "" || g.GID == 1<<32-1) {
			t.Errorf("group %+v", g)
		}
		if groups, err := parseInitgroups(line); err == nil {
			for i := 1; i < len(groups); i++ {
				if groups[i-1] >= groups[i] {
					t.Errorf("groups %v", groups)
				}
			}
		}
		if s, err := parseShadow(line); err == nil {
			s.state(time.Unix(0, 0))
		}
	})
}
