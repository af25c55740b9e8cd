// Command testreport reads what "go test -json" writes and prints what a person
// wants to see of it: a line per package, the output of what failed, what was
// skipped and why, and at the end how many tests there were. Subtests count.
//
//	go test -json ./... | testreport [-fail-skipped]
//
// It exits with 1 when a test failed, none ran, or one was skipped and
// -fail-skipped was given.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout)) }

func run(args []string, in io.Reader, out io.Writer) int {
	flags := flag.NewFlagSet("testreport", flag.ContinueOnError)
	failSkipped := flags.Bool("fail-skipped", false, "fail when a test is skipped")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	r := report{out: out, logs: make(map[name]*strings.Builder), failedIn: make(map[string]int)}
	if err := r.read(in); err != nil {
		fmt.Fprintln(out, "testreport:", err)
		return 1
	}
	fmt.Fprintf(out, "%d passed, %d failed", r.passed, r.failed)
	if r.skipped > 0 {
		fmt.Fprintf(out, ", %d skipped", r.skipped)
	}
	fmt.Fprintln(out)
	if r.failed > 0 || r.passed == 0 || *failSkipped && r.skipped > 0 {
		return 1
	}
	return 0
}

// event is one line of go test -json, as "go doc cmd/test2json" says.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output
	Test       string
	Elapsed    float64
	Output     string
}

// name is a test, or a package where Test is empty.
type name struct{ Package, Test string }

// maxLog bounds what is kept of one test's output; its end says what failed.
const maxLog = 256 << 10

type report struct {
	out                     io.Writer
	logs                    map[name]*strings.Builder
	failedIn                map[string]int // failed tests by package
	passed, failed, skipped int
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				fmt.Fprintln(r.out, strings.TrimSuffix(line, "\n"))
			} else {
				r.event(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (r *report) event(e event) {
	id := name{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		// What a machine cannot run is said, whether the test passes or not.
		if _, text, ok := strings.Cut(e.Output, "NOT RUN: "); ok && e.Test != "" {
			fmt.Fprintf(r.out, "NOT RUN: %s: %s", e.Test, text)
		}
		r.keep(id, e.Output)
	case "pass":
		if e.Test != "" {
			r.passed++
		} else if r.logs[id] != nil {
			fmt.Fprintf(r.out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
		}
		delete(r.logs, id)
	case "skip":
		if e.Test != "" {
			r.skipped++
			fmt.Fprintf(r.out, "SKIP %s %s\n%s", e.Package, e.Test, r.log(id))
		}
		delete(r.logs, id)
	case "fail":
		r.fail(id, e)
		delete(r.logs, id)
	}
}

// fail counts a test. It counts a package only when none of its tests failed:
// it was not built, or ended outside of a test.
func (r *report) fail(id name, e event) {
	if e.Test != "" {
		r.failed++
		r.failedIn[e.Package]++
		fmt.Fprintf(r.out, "FAIL %s %s %.1fs\n%s", e.Package, e.Test, e.Elapsed, r.log(id))
		return
	}
	fmt.Fprintf(r.out, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
	if r.failedIn[e.Package] == 0 {
		r.failed++
		fmt.Fprint(r.out, r.log(id))
	}
}

func (r *report) keep(id name, output string) {
	log := r.logs[id]
	if log == nil {
		log = new(strings.Builder)
		r.logs[id] = log
	}
	if log.Len() > maxLog {
		end := log.String()[maxLog/2:]
		log.Reset()
		log.WriteString("…" + end)
	}
	log.WriteString(output)
}

func (r *report) log(id name) string {
	if log := r.logs[id]; log != nil {
		return log.String()
	}
	return ""
}
