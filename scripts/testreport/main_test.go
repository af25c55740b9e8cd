package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const passing = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA/sub","Elapsed":0}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p","Elapsed":0.1}
`

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, in string
		args     []string
		status   int
		says     []string
		last     string
	}{
		{name: "passing", in: passing, status: 0, says: []string{"ok   p 0.1s\n"}, last: "2 passed, 0 failed"},
		{name: "nothing ran", in: "", status: 1, last: "0 passed, 0 failed"},
		{
			name: "failing", status: 1, last: "2 passed, 1 failed",
			in: passing + `{"Action":"output","Package":"q","Test":"TestB","Output":"b_test.go:7: why\n"}
{"Action":"fail","Package":"q","Test":"TestB","Elapsed":2}
{"Action":"fail","Package":"q","Elapsed":2}
`,
			says: []string{"FAIL q TestB 2.0s\nb_test.go:7: why\n", "FAIL q 2.0s\n"},
		},
		{
			name: "not built", status: 1, last: "2 passed, 1 failed",
			in: passing + `{"ImportPath":"q","Action":"build-output","Output":"q.go:1: syntax error\n"}
{"ImportPath":"q","Action":"build-fail"}
{"Action":"output","Package":"q","Output":"FAIL\tq [build failed]\n"}
{"Action":"fail","Package":"q","Elapsed":0,"FailedBuild":"q"}
`,
			says: []string{"q.go:1: syntax error\n", "FAIL\tq [build failed]\n"},
		},
		{
			name: "skipped", status: 0, last: "2 passed, 0 failed, 1 skipped",
			in: passing + `{"Action":"output","Package":"q","Test":"TestC","Output":"needs root: why\n"}
{"Action":"skip","Package":"q","Test":"TestC","Elapsed":0}
{"Action":"skip","Package":"no-tests","Elapsed":0}
`,
			says: []string{"SKIP q TestC\nneeds root: why\n"},
		},
		{
			name: "skipped where nothing may be", status: 1, last: "2 passed, 0 failed, 1 skipped", args: []string{"-fail-skipped"},
			in: passing + `{"Action":"skip","Package":"q","Test":"TestC","Elapsed":0}` + "\n",
		},
		{name: "what is no event", in: "go: no such tool\n" + passing, status: 0, says: []string{"go: no such tool\n"}, last: "2 passed, 0 failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if got := run(c.args, strings.NewReader(c.in), &out); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			for _, text := range c.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("it does not say %q but\n%s", text, out.String())
				}
			}
			if !strings.HasSuffix("\n"+out.String(), "\n"+c.last+"\n") {
				t.Errorf("the last line is not %q:\n%s", c.last, out.String())
			}
		})
	}
}

func TestLogIsBounded(t *testing.T) {
	in := strings.Repeat(`{"Action":"output","Package":"p","Test":"TestA","Output":"`+strings.Repeat("x", 1000)+`"}`+"\n", 2000) +
		`{"Action":"output","Package":"p","Test":"TestA","Output":"the end\n"}` + "\n" +
		`{"Action":"fail","Package":"p","Test":"TestA","Elapsed":1}` + "\n"
	var out bytes.Buffer
	run(nil, strings.NewReader(in), &out)
	if out.Len() > maxLog+4096 || !strings.Contains(out.String(), "the end") {
		t.Errorf("%d bytes were printed, want at most 256 KiB and the end of them", out.Len())
	}
}

// The format is go test's, so the real one is asked too.
func TestWithRealGoTest(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":         "module m\n\ngo 1.26\n",
		"a/a_test.go":    "package a\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n\nfunc TestBad(t *testing.T) { t.Error(\"the reason\") }\n",
		"b/b_test.go":    "package b\n\nimport \"testing\"\n\nfunc TestPanics(t *testing.T) { panic(\"the panic\") }\n",
		"c/c_test.go":    "package c\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestMain(m *testing.M) { os.Exit(3) }\n",
		"d/d_test.go":    "package d\n\nfunc undefined() { missing() }\n",
		"none/none.go":   "package none\n",
		"e/e_test.go":    "package e\n\nimport \"testing\"\n\nfunc TestSkipped(t *testing.T) { t.Sk" + "ipNow() }\n",
		"good/g_test.go": "package good\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n",
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-vet=off", "./...")
	cmd.Dir = dir
	events, err := cmd.Output()
	if err == nil {
		t.Fatal("go test passed what cannot pass")
	}
	var out bytes.Buffer
	if status := run(nil, bytes.NewReader(events), &out); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	for _, text := range []string{"the reason", "the panic", "undefined: missing", "ok   m/good", "SKIP m/e TestSkipped"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("it does not say %q", text)
		}
	}
	if !strings.HasSuffix(out.String(), "\n2 passed, 4 failed, 1 skipped\n") || t.Failed() {
		t.Errorf("want 2 passed, 4 failed, 1 skipped:\n%s", out.String())
	}
}
