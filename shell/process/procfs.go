package process

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// stat is what /proc/PID/stat says of a process (proc(5)).
type stat struct {
	id      processID
	start   uint64
	state   byte
	parent  int
	group   int
	session int
}

// dead says that nothing of it runs any more: a zombie, or going.
func (s stat) dead() bool { return s.state == 'Z' || s.state == 'X' || s.state == 'x' }

func readStat(pid int) (stat, error) {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	s, ok := parseStat(line)
	if !ok {
		return stat{}, os.ErrInvalid
	}
	return s, nil
}

// parseStat reads "pid (name) state ppid pgrp session …"; the name may hold
// anything, parentheses and spaces too, so it ends at the last ")".
func parseStat(line []byte) (s stat, ok bool) {
	left, right := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if left < 1 || right < left {
		return stat{}, false
	}
	f := strings.Fields(string(line[right+1:]))
	const startTime = 22 - 3 // the fields count from 1, and the state is the third
	if len(f) <= startTime || len(f[0]) != 1 {
		return stat{}, false
	}
	s.state = f[0][0]
	ok = true
	for _, field := range []struct {
		text string
		to   *int
	}{
		{strings.TrimSpace(string(line[:left])), &s.id.pid},
		{f[1], &s.parent}, {f[2], &s.group}, {f[3], &s.session},
	} {
		n, err := strconv.Atoi(field.text)
		*field.to, ok = n, ok && err == nil
	}
	var err error
	s.start, err = strconv.ParseUint(f[startTime], 10, 64)
	s.id.start = s.start
	return s, ok && err == nil && s.id.pid > 0
}

// processTable is every process there is, by number.
type processTable map[int]stat

// readProcessTable is not a snapshot: processes come and go while it reads.
func readProcessTable() (processTable, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	t := make(processTable, len(names))
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		if pid, err := strconv.Atoi(name); err == nil {
			if s, err := readStat(pid); err == nil {
				t[pid] = s
			}
		}
	}
	return t, nil
}

// children returns the numbers of every process's children.
func (t processTable) children() map[int][]int {
	m := make(map[int][]int)
	for pid, s := range t {
		m[s.parent] = append(m[s.parent], pid)
	}
	return m
}

// environ reads one variable of a process's environment as it was at its exec;
// ok is false when it has none, or may not be read.
func environ(pid int, name string) (value string, ok bool) {
	block, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return "", false
	}
	for entry := range bytes.SplitSeq(block, []byte{0}) {
		if v, found := bytes.CutPrefix(entry, []byte(name+"=")); found {
			return string(v), true
		}
	}
	return "", false
}

// realUID returns the real uid of a process.
func realUID(pid int) (uint32, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, false
	}
	uid, ok := statusField(text, "Uid")
	if !ok {
		return 0, false
	}
	real, _, _ := strings.Cut(uid, "\t")
	n, err := strconv.ParseUint(real, 10, 32)
	return uint32(n), err == nil
}

// statusField returns a line of /proc/PID/status.
func statusField(status []byte, name string) (string, bool) {
	for line := range bytes.Lines(status) {
		if v, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			return string(bytes.TrimSpace(v)), true
		}
	}
	return "", false
}

// parseOwnCgroup returns the v2 path in /proc/self/cgroup: the line "0::PATH"
// (cgroups(7)).
func parseOwnCgroup(text []byte) (string, bool) {
	for line := range strings.Lines(string(text)) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && path.IsAbs(p) {
			return p, true
		}
	}
	return "", false
}

// cgroupDir returns the directory of the v2 group own, by /proc/self/mountinfo
// (proc_pid_mountinfo(5)).
func cgroupDir(mountinfo []byte, own string) (string, bool) {
	for line := range strings.Lines(string(mountinfo)) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		root, point := unescapeMount(f[3]), unescapeMount(f[4])
		below, err := filepath.Rel(root, own)
		if err != nil || below == ".." || strings.HasPrefix(below, "../") || !path.IsAbs(point) {
			continue
		}
		return filepath.Join(point, below), true
	}
	return "", false
}

// unescapeMount undoes the octal escapes of mountinfo: \040 and the like.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
