package fanout

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	for _, tt := range []struct {
		name, in, want string
	}{
		{"lines", "a\nb\n", "w | a\nw | b\n"},
		{"no end", "a\nb", "w | a\nw | b\n"},
		{"empty lines", "\n\n", "w | \nw | \n"},
		{"nothing", "", ""},
		{"as it came", "\x1b[1mbold\r\xff\x00\n", "w | \x1b[1mbold\r\xff\x00\n"},
		{"long", long + "yz\nb\n", "w | " + long + "\nw + yz\nw | b\n"},
		{"as long as can be", long[1:] + "\nb", "w | " + long[1:] + "\nw | b\n"},
		{"no character is cut", long[1:] + "é\n", "w | " + long[1:] + "\nw + é\n"},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			s := newShown()
			l := NewLines(s.Screen, []string{"w"}, Style{}, Style{})
			stdout, stderr := l.Streams(0)
			for _, to := range []io.Writer{stdout, stderr} {
				if _, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{strings.NewReader(tt.in)}, make([]byte, size)); err != nil {
					t.Error(err)
				}
			}
			if err := l.Done(0, Result{}); err != nil {
				t.Error(err)
			}
			if s.out.String() != tt.want || s.err.String() != tt.want {
				t.Errorf("%s by %d: %.100q and %.100q, want %.100q", tt.name, size, s.out.String(), s.err.String(), tt.want)
			}
		}
	}
}

func TestLinesHaveColoursAndColumns(t *testing.T) {
	s := newShown()
	l := NewLines(s.Screen, []string{"a", "long"}, Style{Align: true, Colour: true}, Style{Align: true})
	stdout, stderr := l.Streams(0)
	_, _ = io.WriteString(stdout, "x\n")
	_, _ = io.WriteString(stderr, "y\n")
	if s.out.String() != "\x1b[36ma    |\x1b[m x\n" || s.err.String() != "a    | y\n" {
		t.Errorf("%q %q", s.out.String(), s.err.String())
	}
}

// talk has many targets write at once, and returns what each wrote.
func talk(p Printer, targets int) []string {
	said := make([]string, targets)
	var all sync.WaitGroup
	for i := range targets {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			stdout, _ := p.Streams(i)
			var text strings.Builder
			for n := range 200 {
				line := fmt.Sprintf("%d of %d: %s\n", n, i, strings.Repeat("·", random.IntN(300)))
				text.WriteString(line)
				cut := random.IntN(len(line))
				_, _ = io.WriteString(stdout, line[:cut])
				_, _ = io.WriteString(stdout, line[cut:])
			}
			said[i] = text.String()
			_ = p.Done(i, Result{Outcome: Exited})
		})
	}
	all.Wait()
	return said
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("t%d", i))
	}
	return all
}

func TestManyLinesAreExact(t *testing.T) {
	s := newShown()
	said := talk(NewLines(s.Screen, names(20), Style{}, Style{}), 20)
	got := map[string]string{}
	for line := range strings.Lines(s.out.String()) {
		name, text, found := strings.Cut(line, " | ")
		if !found {
			t.Fatalf("a line without a name: %q", line)
		}
		got[name] += text
	}
	for i, name := range names(20) {
		if got[name] != said[i] {
			t.Errorf("%s is not what it printed", name)
		}
	}
}

func TestManyGroupsAreExact(t *testing.T) {
	s := newShown()
	said := talk(NewGroups(s.Screen, names(20), false, false), 20)
	for i, name := range names(20) {
		if !strings.Contains(s.out.String(), "== "+name+": exit 0\n"+said[i]) {
			t.Errorf("%s is not together", name)
		}
	}
}

func TestGroupsShowBothStreamsInOrder(t *testing.T) {
	var both bytes.Buffer
	screen := NewScreen(&both, &both, func(error) bool { return false })
	g := NewGroups(screen, []string{"a", "b"}, false, false)
	out, err := g.Streams(0)
	for i, w := range []io.Writer{out, err, out} {
		fmt.Fprintf(w, "%d\n", i)
	}
	fmt.Fprint(err, "end")
	_ = g.Done(0, Result{Outcome: Exited, Code: 3})
	_ = g.Done(1, Result{Outcome: Unreached, Why: "down"})
	if want := "== a: exit 3\n0\n1\n2\nend\n== b: down\n"; both.String() != want {
		t.Errorf("%q, want %q", both.String(), want)
	}
	s := newShown()
	g = NewGroups(s.Screen, []string{"a", "b"}, true, true)
	_, err = g.Streams(0)
	fmt.Fprint(err, "oh\n")
	_ = g.Done(0, Result{Outcome: Exited})
	if head := "\x1b[32m== a: exit 0\x1b[m\n"; s.out.String() != head || s.err.String() != head+"oh\n" {
		t.Errorf("apart: %q %q", s.out.String(), s.err.String())
	}
}

func TestGroupsSpillWithoutATrace(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := newShown()
	g := NewGroups(s.Screen, []string{"a"}, false, false)
	stdout, stderr := g.Streams(0)
	var want, wantErr bytes.Buffer
	for i := range 400 {
		line := bytes.Repeat([]byte{byte(i)}, 10_000)
		want.Write(line)
		_, _ = stdout.Write(line)
		wantErr.WriteString("e")
		_, _ = stderr.Write([]byte("e"))
	}
	if mem := g.spools[0].mem; g.spools[0].file == nil || cap(mem) > 2*spoolMemory {
		t.Errorf("%d bytes in memory", cap(mem))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("there are %v", left)
	}
	if err := g.Done(0, Result{Outcome: Exited}); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimPrefix(s.out.String(), "== a: exit 0\n"); strings.TrimSuffix(got, "\n") != want.String() {
		t.Errorf("%d bytes of %d", len(got), want.Len())
	}
	if s.err.String() != wantErr.String()+"\n" {
		t.Errorf("standard error: %d bytes", s.err.Len())
	}
}

func TestSpoolIsBounded(t *testing.T) {
	s := &spool{size: MaxSpool - 1}
	if err := s.add(Stdout, []byte("x")); err != nil {
		t.Error(err)
	}
	if err := s.add(Stdout, []byte("x")); !errors.Is(err, ErrSpool) {
		t.Errorf("too much: %v", err)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	s = &spool{}
	if err := s.add(Stdout, make([]byte, 1<<20)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no place: %v", err)
	}
}

func TestEvents(t *testing.T) {
	s := newShown()
	e, err := NewEvents(s.Screen, []EventTarget{{"a", "debug"}, {"b", ""}})
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := e.Streams(0)
	_, _ = io.WriteString(stdout, "<one>\ntwo")
	_, _ = io.WriteString(stderr, "\xff\n")
	results := []Result{
		{Outcome: Signalled, Code: 137, Signal: "KILL", Took: 1500 * time.Millisecond},
		{Outcome: Unreached, Code: 255, Why: "down"},
	}
	for i, r := range results {
		if err := e.Done(i, r); err != nil {
			t.Error(err)
		}
	}
	if err := e.Summary(results, 255); err != nil {
		t.Error(err)
	}
	want := `{"event":"start","version":1,"targets":[{"target":"a","source":"debug"},{"target":"b"}]}
{"event":"output","target":"a","stream":"stdout","text":"<one>\n"}
{"event":"output","target":"a","stream":"stderr","base64":"/wo="}
{"event":"output","target":"a","stream":"stdout","text":"two"}
{"event":"end","target":"a","source":"debug","ok":false,"outcome":"signalled","code":137,"signal":"KILL","tookMs":1500}
{"event":"end","target":"b","ok":false,"outcome":"unreached","code":255,"why":"down","tookMs":0}
{"event":"summary","version":1,"targets":2,"succeeded":0,"code":255}
`
	if s.out.String() != want {
		t.Errorf("got\n%swant\n%s", s.out.String(), want)
	}
}

// FuzzEvents: what a program prints comes back whole, whatever it is and however
// it arrives.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("a\nb"), 1)
	f.Add([]byte("\xff\xfe\n\x00"), 3)
	f.Add(bytes.Repeat([]byte("é"), MaxLine), 1000)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		s := newShown()
		e, _ := NewEvents(s.Screen, []EventTarget{{Target: "a"}})
		stdout, _ := e.Streams(0)
		size = max(1, size&0xffff)
		for rest := data; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			_, _ = stdout.Write(rest[:min(size, len(rest))])
		}
		_ = e.Done(0, Result{})
		var got []byte
		in := bufio.NewScanner(&s.out)
		in.Buffer(nil, 8*MaxLine)
		for in.Scan() {
			var o outputEvent
			if err := json.Unmarshal(in.Bytes(), &o); err != nil {
				t.Fatal(err)
			}
			if o.Text != nil {
				got = append(got, *o.Text...)
			}
			got = append(got, o.Base64...)
		}
		if err := in.Err(); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
		}
	})
}
