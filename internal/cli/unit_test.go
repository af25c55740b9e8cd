package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain – text ✓":            "plain – text ✓",
		"red \x1b[31m text":         "red [31m text",
		"a\r\nb\tc\x00d\x7f\u0085e": "abcde",
		"left\u202eright\u2066x":    "leftrightx",
		"bad \xff utf8":             "bad  utf8",
		"\u200bzero width":          "zero width",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if n := len(clean(strings.Repeat("x", 1<<20))); n > maxLine+3 {
		t.Errorf("a line of %d bytes", n)
	}
}

func TestCleanTerm(t *testing.T) {
	for in, want := range map[string]string{
		"xterm-256color": "xterm-256color", "": "dumb", "x\ny": "dumb", strings.Repeat("x", 65): "dumb",
	} {
		if got := cleanTerm(in); got != want {
			t.Errorf("cleanTerm(%q) = %q, want %q", in, got, want)
		}
	}
}

// played is a session whose frames are written down.
type played struct {
	frames []shell.Frame
	err    error
	acks   []uint64
	input  bytes.Buffer
	ended  bool
}

func (p *played) Info() shell.SessionInfo { return shell.SessionInfo{} }
func (p *played) Next(context.Context) (shell.Frame, error) {
	if len(p.frames) == 0 {
		return shell.Frame{}, p.err
	}
	f := p.frames[0]
	p.frames = p.frames[1:]
	return f, nil
}
func (p *played) Write(b []byte) (int, error) { return p.input.Write(b) }
func (p *played) CloseWrite() error           { p.ended = true; return nil }
func (p *played) Resize(shell.Winsize)        {}
func (p *played) Ack(end uint64)              { p.acks = append(p.acks, end) }
func (p *played) Redraw(shell.Winsize)        {}
func (p *played) Signal(string) error         { return nil }
func (p *played) Detach() error               { return nil }
func (p *played) Suspend() bool               { return true }
func (p *played) Continue()                   {}
func (p *played) Close() error                { return nil }

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestOutputIsAcknowledgedOnceWritten(t *testing.T) {
	frames := []shell.Frame{
		{Type: shell.FrameStdout, End: 3, Data: []byte("out")},
		{Type: shell.FrameStderr, End: 6, Data: []byte("err")},
		{Type: shell.FrameNotice, End: 6, Data: []byte(`{"code":"idle","text":"soon"}`)},
		{Type: shell.FrameExit, End: 7, Data: []byte(`{"code":137,"signal":"KILL"}`)},
	}
	var stdout, stderr bytes.Buffer
	var told []string
	o := &output{stdout: &stdout, stderr: &stderr, notice: func(s string) { told = append(told, s) }}
	p := &played{frames: frames}
	exit, err := o.copy(t.Context(), p)
	if err != nil || exit.Code != 137 || exit.Signal != "KILL" {
		t.Errorf("exit %+v, %v", exit, err)
	}
	if stdout.String() != "out" || stderr.String() != "err" || len(told) != 1 || told[0] != "soon" {
		t.Errorf("%q %q %q", stdout.String(), stderr.String(), told)
	}
	if !reflect.DeepEqual(p.acks, []uint64{3, 6, 6, 7}) {
		t.Errorf("acknowledged %v", p.acks)
	}

	full := errors.New("disk full")
	p = &played{frames: frames}
	_, err = (&output{stdout: failing{full}, stderr: io.Discard}).copy(t.Context(), p)
	var write *outputError
	if !errors.As(err, &write) || !errors.Is(err, full) || len(p.acks) != 0 {
		t.Errorf("%v, acknowledged %v", err, p.acks)
	}
}

func TestExitThatIsNone(t *testing.T) {
	for _, data := range []string{`{"code":256}`, `{"code":-1}`, `{"code":"7"}`, `x`} {
		p := &played{frames: []shell.Frame{{Type: shell.FrameExit, End: 1, Data: []byte(data)}}}
		if _, err := (&output{}).copy(t.Context(), p); !errors.Is(err, shellhttp.ErrStream) || len(p.acks) != 0 {
			t.Errorf("%s: %v, acknowledged %v", data, err, p.acks)
		}
	}
}

func TestTypeahead(t *testing.T) {
	a := newTypeahead(nil)
	big := bytes.Repeat([]byte("x"), maxTypeahead)
	a.put(nil)
	a.put(big)
	blocked := make(chan struct{})
	go func() {
		a.put([]byte("end"))
		a.end()
		close(blocked)
	}()
	p := &played{}
	a.sendTo(p)
	<-blocked
	if p.input.Len() != len(big)+3 || !bytes.HasSuffix(p.input.Bytes(), []byte("xend")) || !p.ended {
		t.Errorf("%d bytes arrived, ended %v", p.input.Len(), p.ended)
	}

	// Who waits is woken when nothing more goes.
	a = newTypeahead(nil)
	a.put(big)
	done := make(chan struct{})
	go func() { a.put([]byte("more")); close(done) }()
	a.close()
	<-done
	p = &played{}
	a.sendTo(p)
	if p.input.Len() != 0 || p.ended {
		t.Errorf("after close: %d bytes, ended %v", p.input.Len(), p.ended)
	}
}

func TestLocalErrorsHaveTheirCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {Exit(7), 7}, {Usage(errors.New("x")), 2}, {Usage(nil), 0},
		{errors.New("x"), 1}, {misuse("x"), 2}, {failWith(255, Usage(errors.New("x"))), 2},
	} {
		var said bytes.Buffer
		s := &surroundings{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, ui: &ui{name: "agent", out: &said}}
		root := Program{Name: "agent", More: nil}.Root()
		c := versionCommand(s)
		c.RunE = func(*cobra.Command, []string) error { return tt.err }
		root.AddCommand(c)
		if got := execute(root, []string{"version"}, s); got != tt.want {
			t.Errorf("%v: code %d, want %d (%s)", tt.err, got, tt.want, said.String())
		}
	}
}
