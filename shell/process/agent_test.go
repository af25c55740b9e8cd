package process

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"shellagent/shell"
)

func init() {
	parts["agent"] = agent
	parts["ambient agent"] = ambientAgent
}

// agent does at its start what an agent does, runs one script on a terminal,
// types what it reads itself, and shows what the terminal shows.
func agent() int {
	if err := ResetSignals(); err != nil {
		fmt.Println(err)
		return 1
	}
	return runHere(os.Args[1], &shell.Terminal{Winsize: shell.Winsize{Cols: 80, Rows: 24}})
}

// ambientAgent shows which capabilities a program gets from it.
func ambientAgent() int {
	if err := CheckPrivileges(); err != nil {
		fmt.Println(err)
		return 1
	}
	return runHere(`while read name set; do case $name in CapInh:|CapAmb:) echo -n "$sep$set"; sep=" ";; esac; done </proc/self/status`, nil)
}

func runHere(text string, term *shell.Terminal) int {
	h, err := NewHost(HostConfig{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer h.Close()
	g := shell.Grant{Path: "/bin/bash", Argv: []string{"bash", "-c", text}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}}
	g.Credential = shell.Credential{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	p, err := h.Start(context.Background(), g, term, Options{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go io.Copy(p.Stdin(), os.Stdin)
	if _, err := io.Copy(os.Stdout, p.Output(shell.FrameStdout)); err != nil {
		fmt.Println(err)
	}
	code := p.Wait().Code
	p.Close()
	return code
}

// An agent under nohup, in a script's background or started by a parent that
// blocks signals must not give its shells a dead Ctrl-C.
func TestIgnoredSignalsAreNotInherited(t *testing.T) {
	const show = `trap; grep -E 'Sig(Ign|Blk)' /proc/self/status; trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.01; done`
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `trap "" INT HUP QUIT TSTP TTIN TTOU PIPE USR1; exec "$0" "$@"`, exe, show)
	cmd.Env = append(os.Environ(), part+"=agent")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	out := collect(pipe)
	out.await(t, "ready")
	if _, err := io.WriteString(in, "\x03"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "interrupted")
	out.awaitEnd(t)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("agent: %v", err)
	}
	text := out.String()
	if strings.Contains(text, "trap --") {
		t.Errorf("the shell was started with signals ignored: %q", text)
	}
	// Signals 32 and 33 are glibc's own; its posix_spawn, which make uses, leaves
	// them ignored, and no program can tell.
	const internal = 1<<31 | 1<<32
	for _, set := range []string{"SigIgn", "SigBlk"} {
		v, _ := statusField([]byte(text), set)
		if bits, err := strconv.ParseUint(v, 16, 64); err != nil || bits&^internal != 0 {
			t.Errorf("the program was started with %s %q", set, v)
		}
	}
}

func TestOpenFilesLimitIsTheOneTheAgentWasStartedWith(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `ulimit -Sn 333; exec "$0" "$@"`, exe, "ulimit -Sn")
	cmd.Env = append(os.Environ(), part+"=agent")
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "333" {
		t.Errorf("soft limit of open files %q, %v", out, err)
	}
}

func TestCheckPrivileges(t *testing.T) {
	if err := CheckPrivileges(); err != nil {
		t.Error(err)
	}
}
