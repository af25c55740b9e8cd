package cli

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"shellagent/internal/copying"
)

func TestPlaces(t *testing.T) {
	for arg, want := range map[string]place{
		"file": {path: "file"}, "./a:b": {path: "./a:b"}, "/a:b": {path: "/a:b"}, "dir/a:b": {path: "dir/a:b"}, ":x": {path: ":x"},
		"a@b": {path: "a@b"}, "": {},
		"web1:":                     {"web1:"[:4], "", "web1", ""},
		"web1:/srv/x:y":             {"web1", "", "web1", "/srv/x:y"},
		"deploy@web1:x":             {"deploy@web1", "deploy", "web1", "x"},
		"web1:~/x@y":                {"web1", "", "web1", "~/x@y"},
		"[2001:db8::7]:/x":          {"[2001:db8::7]", "", "2001:db8::7", "/x"},
		"debug@[2001:db8::7]:x":     {"debug@[2001:db8::7]", "debug", "2001:db8::7", "x"},
		"https://h/p:/x":            {"https://h/p", "", "https://h/p", "/x"},
		"d@https://h:4000/p/q:/x:y": {"d@https://h:4000/p/q", "d", "https://h:4000/p/q", "/x:y"},
	} {
		got, err := readPlace(arg)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", arg, got, err, want)
		}
	}
	for _, arg := range []string{"Bad Source@web1:x", "@web1:x"} {
		if got, err := readPlace(arg); err == nil {
			t.Errorf("%q: %+v", arg, got)
		}
	}
	if got, _ := readPlace(`c:\x`); got.remote() == (runtime.GOOS == "windows") {
		t.Errorf("a drive: %+v", got)
	}
}

func TestPlansOfCopies(t *testing.T) {
	plan, err := planCopy([]string{"a", "b", "web1:c", "web1:d", "s@web1:e", "web2:"})
	if err != nil || len(plan.from) != 3 || len(plan.from[0].paths) != 2 || len(plan.from[1].paths) != 2 || plan.from[2].source != "s" || !plan.into || plan.to.target != "web2" {
		t.Errorf("%+v, %v", plan, err)
	}
	if !severalTargets(plan) {
		t.Error("two targets are taken for one")
	}
	if plan, err := planCopy([]string{"web1:c", "s@web1:e", "d"}); err != nil || severalTargets(plan) {
		t.Errorf("%+v, %v", plan, err)
	}
	for _, args := range [][]string{{}, {"a"}, {"a", "b"}, {"web1:x", "a", "b"}, {"", "web1:"}} {
		if plan, err := planCopy(args); err == nil {
			t.Errorf("%q: %+v", args, plan)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "500K": 512000, "10m": 10 << 20, "1.5G": 1.5 * (1 << 30)} {
		if got, err := byteRate(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"10", "M", "-1M", "0K", "x", "NaNM", "InfG", "1T"} {
		if got, err := byteRate(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// What goes through arrives whole, and is asked for in small steps.
func TestPace(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	p := newPace(100 << 20)
	got, err := io.ReadAll(p.reader(bytes.NewReader(data)))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	var out bytes.Buffer
	if n, err := p.writer(&out).Write(data); n != len(data) || err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("%d bytes, %v", n, err)
	}
	var none *pace
	if r := none.reader(&out); r != io.Reader(&out) {
		t.Error("no pace is a pace")
	}
}

func TestBar(t *testing.T) {
	s := &surroundings{ui: &ui{}}
	p := newReport(s, false)
	b := &bar{report: p}
	begin := time.Unix(1000, 0)
	b.steps = []step{{begin, 0}, {begin.Add(4 * time.Second), 40 << 20}}
	p.moved.Store(40 << 20)
	if got, want := b.text(begin.Add(4*time.Second), 80), "0 files  40 MiB  10 MiB/s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.sides(place{}, place{})
	p.Expected(7, 160<<20)
	p.Resumed(40 << 20)
	p.Did(copying.CopiedFile)
	p.Moving("/a/long/way/to/a/file\x1b[2J")
	want := " 50%  80 MiB of 160 MiB  1 of 7 files  10 MiB/s  8.0 s left  "
	if got := b.text(begin.Add(4*time.Second), 200); got != want+`"/a/long/way/to/a/file\x1b[2J"` {
		t.Errorf("%q", got)
	}
	if got := b.text(begin.Add(4*time.Second), 80); !strings.HasPrefix(got, want+"…") || len([]rune(got)) > 80 {
		t.Errorf("%q", got)
	}
	for n, want := range map[int64]string{-1: "0 B", 999: "999 B", 1000: "1.0 KiB", 10 << 20: "10 MiB", 1536 << 20: "1.5 GiB", 5 << 50: "5120 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{1500 * time.Millisecond: "1.5 s", 42 * time.Second: "42 s", 75 * time.Second: "1:15", 3*time.Hour + 62*time.Second: "3:01:02", 1000 * time.Hour: "days"} {
		if got := shortTime(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
