package shellagent_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Patterns are put together from halves, so that this file does not match them.
var (
	unfinished  = regexp.MustCompile("TO" + "DO|FIX" + "ME|\\bXX" + "X\\b|not imple" + "mented|unimple" + "mented|place" + "holder")
	machinePath = regexp.MustCompile("/wor" + `k/(main|notes|shared|\.library)\b`)
)

const (
	maxGoLines = 400
	skipReason = "needs root: "
)

// grabBags are names that say nothing of what a package is.
var grabBags = []string{"base", "common", "helper", "helpers", "lib", "manager", "misc", "shared", "util", "utils"}

// eachFile calls do for every file of the repository that people wrote.
func eachFile(t *testing.T, do func(path string, content []byte)) {
	t.Helper()
	count := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", "bin", "dist", "testdata"}, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count++
		do(path, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Fatal("no files found")
	}
}

func TestNoUnfinishedWork(t *testing.T) {
	eachFile(t, func(path string, content []byte) {
		prose := slices.Contains([]string{".go", ".md", ".sh"}, filepath.Ext(path))
		number := 0
		for line := range bytes.Lines(content) {
			number++
			if mark := unfinished.Find(line); prose && mark != nil {
				t.Errorf("%s:%d: %q: finish it, or say it in the issue", path, number, mark)
			}
			if machine := machinePath.Find(line); machine != nil {
				t.Errorf("%s:%d: %s is a path of the machine that this was written on", path, number, machine)
			}
		}
		if filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") && number > maxGoLines {
			t.Errorf("%s has %d lines, more than %d: does it still tell one thing?", path, number, maxGoLines)
		}
	})
}

func TestGoStyle(t *testing.T) {
	eachFile(t, func(path string, content []byte) {
		if filepath.Ext(path) != ".go" {
			return
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		if name := strings.TrimSuffix(file.Name.Name, "_test"); slices.Contains(grabBags, name) {
			t.Errorf("%s: package %s: name it after what it is", path, name)
		}
		report := func(at token.Pos, problem string) { t.Errorf("%s: %s", files.Position(at), problem) }
		if strings.HasSuffix(path, "_test.go") {
			testCalls(file, report)
		} else if file.Name.Name != "main" {
			undocumented(file, report)
		}
	})
}

// testCalls reports waiting for time to pass, and skipping for reasons that a
// user would not accept.
func testCalls(file *ast.File, report func(token.Pos, string)) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of, _ := f.X.(*ast.Ident)
		switch f.Sel.Name {
		case "Sleep":
			if of != nil && of.Name == "time" {
				report(call.Pos(), "time.Sleep in a test: wait for the thing, with a deadline")
			}
		case "Short":
			if of != nil && of.Name == "testing" {
				report(call.Pos(), "testing.Short: a test is short or it is made short")
			}
		case "Skip", "Skipf", "SkipNow":
			if of != nil && slices.Contains([]string{"t", "b", "tb", "f"}, of.Name) && !strings.HasPrefix(firstString(call), skipReason) {
				report(call.Pos(), "a test is skipped for no reason that begins with "+strconv.Quote(skipReason))
			}
		}
		return true
	})
}

func firstString(call *ast.CallExpr) string {
	if len(call.Args) == 0 {
		return ""
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return text
}

// undocumented reports exported names of a package without a comment. A group
// of constants or variables may share one.
func undocumented(file *ast.File, report func(token.Pos, string)) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				report(d.Pos(), d.Name.Name+" has no doc comment")
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
						report(spec.Pos(), spec.Name.Name+" has no doc comment")
					}
				case *ast.ValueSpec:
					if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						report(spec.Pos(), spec.Names[0].Name+" has no doc comment")
					}
				}
			}
		}
	}
}

// exportedReceiver says whether a function belongs to no type or to an exported
// one. Methods whose contract is a well-known interface's need no words.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	if slices.Contains([]string{"Error", "Unwrap", "String"}, d.Name.Name) {
		return false
	}
	of := d.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	name, ok := of.(*ast.Ident)
	return ok && name.IsExported()
}
