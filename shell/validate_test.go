package shell

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestValidateOpen(t *testing.T) {
	many := map[string]string{}
	for i := range MaxOpenEnv + 1 {
		many[strings.Repeat("A", i+1)] = ""
	}
	term := func(name string, cols, rows uint16) OpenRequest {
		return OpenRequest{Terminal: &Terminal{Term: name, Winsize: Winsize{Cols: cols, Rows: rows}}}
	}
	for _, c := range []struct {
		name string
		open OpenRequest
		want string // part of the error, "" for none
	}{
		{"a shell", OpenRequest{}, ""},
		{"argv", OpenRequest{Argv: []string{"printf", "", "ünï\n"}}, ""},
		{"command", OpenRequest{Command: "echo hi | cat"}, ""},
		{"both", OpenRequest{Argv: []string{"a"}, Command: "b"}, "not both"},
		{"no name", OpenRequest{Argv: []string{""}}, "name is empty"},
		{"many arguments", OpenRequest{Argv: slices.Repeat([]string{"x"}, MaxArgv+1)}, "4097 arguments"},
		{"long argument", OpenRequest{Argv: []string{"x", strings.Repeat("x", MaxArgument)}}, "argument 1: 131072 bytes"},
		{"all too long", OpenRequest{Argv: slices.Repeat([]string{strings.Repeat("x", 100<<10)}, 3)}, "at most 262144"},
		{"zero byte", OpenRequest{Argv: []string{"a\x00b"}}, "zero byte"},
		{"zero byte in command", OpenRequest{Command: "a\x00"}, "command: has a zero byte"},
		{"not UTF-8", OpenRequest{Command: "\xff"}, "not UTF-8"},
		{"variables", OpenRequest{Env: map[string]string{"LC_ALL": "C", "_x1": ""}}, ""},
		{"many variables", OpenRequest{Env: many}, "65 variables"},
		{"bad variable", OpenRequest{Env: map[string]string{"A=B": "C"}}, "not the name"},
		{"empty variable", OpenRequest{Env: map[string]string{"": "C"}}, "not the name"},
		{"digit first", OpenRequest{Env: map[string]string{"1A": "C"}}, "not the name"},
		{"bad value", OpenRequest{Env: map[string]string{"A": "\x00"}}, "variable A"},
		{"terminal", term("xterm-256color", 80, 24), ""},
		{"unknown terminal", term("", 0, 0), ""},
		{"largest", term("a", MaxWinsize, MaxWinsize), ""},
		{"too wide", term("a", MaxWinsize+1, 1), "4097 columns"},
		{"path as terminal", term("../../etc/x", 1, 1), "not a terminal type"},
		{"slash", term("x/y", 1, 1), "not a terminal type"},
		{"escape", term("x\x1b[2J", 1, 1), "not a terminal type"},
		{"long terminal", term(strings.Repeat("x", MaxTermName+1), 1, 1), "65 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch err := c.open.Validate(); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}

func TestValidateControl(t *testing.T) {
	for _, name := range SignalNames() {
		c := ControlRequest{Seq: 1, Signal: &SignalRequest{Name: name}}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []ControlRequest{
		{},
		{Seq: 1, Close: true, Detach: true},
		{Seq: 1, Resize: &Winsize{Rows: MaxWinsize + 1}},
		{Seq: 1, Signal: &SignalRequest{Name: "SIGINT"}},
		{Seq: 1, Signal: &SignalRequest{Name: "STOP"}},
		{Seq: 1, Signal: &SignalRequest{}},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// What is taken can be handed to execve(2) and to a terminal as it is.
func FuzzOpenRequest(f *testing.F) {
	f.Add([]byte(`{"argv":["ls","-l"],"env":{"LANG":"C"}}`))
	f.Add([]byte(`{"command":"echo \u0000","terminal":{"term":"xterm","cols":80,"rows":24}}`))
	f.Add([]byte(`{"terminal":{"term":"../x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r OpenRequest
		if json.Unmarshal(body, &r) != nil || r.Validate() != nil {
			return
		}
		texts := append(slices.Clone(r.Argv), r.Command)
		for name, value := range r.Env {
			texts = append(texts, name, value)
			if name == "" || strings.ContainsAny(name, "= \n") {
				t.Errorf("variable %q", name)
			}
		}
		for _, text := range texts {
			if strings.Contains(text, "\x00") || len(text) >= MaxArgument {
				t.Errorf("argument of %d bytes: %.20q", len(text), text)
			}
		}
		if term := r.Terminal; term != nil && (strings.ContainsAny(term.Term, "/\x1b ") || term.Cols > MaxWinsize) {
			t.Errorf("terminal %+v", term)
		}
	})
}
