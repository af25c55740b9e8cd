package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = " 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2 3"
	for line, want := range map[string]stat{
		"12 (sh) S 1 12 11" + rest:           {id: processID{12, 4711}, start: 4711, state: 'S', parent: 1, group: 12, session: 11},
		"12 (a) Z 9 (b) c) Z 1 12 11" + rest: {id: processID{12, 4711}, start: 4711, state: 'Z', parent: 1, group: 12, session: 11},
	} {
		if got, ok := parseStat([]byte(line)); !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "(", ")(", "1 (x) S 1 1 1", "x (sh) S 1 1 1" + rest, "0 (sh) S 1 1 1" + rest, "1 (sh) SS 1 1 1" + rest, "1 (sh) S a 1 1" + rest} {
		if got, ok := parseStat([]byte(line)); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
	if s, err := readStat(os.Getpid()); err != nil || s.id.pid != os.Getpid() || s.parent != os.Getppid() || s.start == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a) Z 9 (b) c) Z 1 12 11 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2 3"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if s, ok := parseStat(line); ok && s.id.pid <= 0 {
			t.Errorf("%q: %+v", line, s)
		}
	})
}

func TestCgroupDir(t *testing.T) {
	const hybrid = `24 1 0:22 / /sys rw - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
31 24 0:27 / /sys/fs/cgroup/uni\040fied rw,relatime shared:1 - cgroup2 cgroup2 rw
`
	for _, c := range []struct{ mounts, cgroups, want string }{
		{hybrid, "9:name=systemd:/x\n0::/\n", "/sys/fs/cgroup/uni fied"},
		{hybrid, "0::/system.slice/shellagent.service\n", "/sys/fs/cgroup/uni fied/system.slice/shellagent.service"},
		{"31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n", "0::/docker/abc/x\n", "/sys/fs/cgroup/x"},
		{"31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n", "0::/docker/abcd\n", ""},
		{"31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n", "0::/\n", ""},
		{hybrid, "9:name=systemd:/x\n", ""},
		{"24 1 0:22 / /sys rw - sysfs sysfs rw\n", "0::/\n", ""},
	} {
		own, ok := parseOwnCgroup([]byte(c.cgroups))
		var got string
		if ok {
			got, _ = cgroupDir([]byte(c.mounts), own)
		}
		if got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.cgroups, c.mounts, got, c.want)
		}
	}
}

func FuzzCgroupDir(f *testing.F) {
	f.Add([]byte("31 24 0:27 /a\\040 /sys rw - cgroup2 cgroup rw\n"), []byte("0::/a/b\n"))
	f.Add([]byte("31 24 0:27 / /\\04 rw - cgroup2 x\n"), []byte("0::/../b\n"))
	f.Fuzz(func(t *testing.T, mounts, cgroups []byte) {
		own, ok := parseOwnCgroup(cgroups)
		if !ok {
			return
		}
		if dir, ok := cgroupDir(mounts, own); ok && (!filepath.IsAbs(dir) || strings.Contains(dir, "/../")) {
			t.Errorf("%q", dir)
		}
	})
}

func FuzzParseNote(f *testing.F) {
	f.Add([]byte(`{"boot":"b","agent":{"pid":1,"start":1},"tree":{"mark":"m"},"leader":{"pid":2,"start":3}}`))
	f.Add([]byte(`{"boot":"b","agent":{"pid":1,"start":1},"tree":{"cgroup":"/x/shellagent-x"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := parseNote(text)
		if err == nil && n.Tree.Cgroup != "" && !strings.HasPrefix(filepath.Base(n.Tree.Cgroup), cgroupPrefix) {
			t.Errorf("%q names %q", text, n.Tree.Cgroup)
		}
	})
}
