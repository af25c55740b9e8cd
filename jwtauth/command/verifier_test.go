//go:build unix

package command_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shellagent/jwtauth/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script writes a program for a Verifier.
func script(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	// A user without rights must get there.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "verify")
	syscall.ForkLock.RLock() // else a child of another test may have it open for writing, and it cannot be run
	err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestVerifier(t *testing.T) {
	v := &command.Verifier{Argv: []string{script(t, `printf '{"token":"%s","env":"%s","dir":"%s","argument":"%s"}' "$(cat)" "$(env | cut -d= -f1 | sort | tr '\n' ' ')" "$(pwd)" "$1"`), "a b;c"}}
	t.Setenv("SECRET", "x")
	got, err := v.Verify(context.Background(), "aaa.bbb.ccc")
	if err != nil {
		t.Fatal(err)
	}
	env := got["env"].(string)
	delete(got, "env")
	if want := map[string]any{"token": "aaa.bbb.ccc", "dir": "/", "argument": "a b;c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !strings.Contains(env, "PATH") || strings.Contains(env, "SECRET") {
		t.Errorf("environment is %s", env)
	}
}

func TestVerifierRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		refused    bool
	}{
		"no":            {"echo not a member >&2; echo '{}'; exit 1", "not a member", true},
		"nothing":       {"exit 0", "not one JSON object", false},
		"no object":     {"echo '[]'", "not one JSON object", false},
		"two objects":   {"echo '{}{}'", "not one JSON object", false},
		"doubled":       {`echo '{"a":1,"a":2}'`, "duplicate", false},
		"flood":         {"yes", "larger than", false},
		"killed":        {"kill -9 $$", "killed", false},
		"hangs":         {"sleep 60", "deadline", false},
		"child hangs":   {"sleep 60 & echo '{}'; wait", "deadline", false},
		"never reading": {"exec <&-; sleep 60", "deadline", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &command.Verifier{Argv: []string{script(t, c.text)}}
			start := time.Now()
			got, err := v.Verify(context.Background(), strings.Repeat("x", 8000))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want %q", got, err, c.want)
			}
			if errors.Is(err, command.ErrRefused) != c.refused {
				t.Errorf("said no: %v", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestVerifierCheck(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(notExecutable, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{nil, {""}, {"true"}, {"./true"}, {"/no/such/program"}, {notExecutable}} {
		v := &command.Verifier{Argv: argv}
		if err := v.Check(); err == nil {
			t.Errorf("%q passes", argv)
		}
		if _, err := v.Verify(context.Background(), "x"); err == nil {
			t.Errorf("%q ran", argv)
		}
	}
}

func TestVerifierRunsAsItsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: runs commands as another user")
	}
	v := &command.Verifier{
		Argv: []string{script(t, `printf '{"uid":"%s","gid":"%s","groups":"%s"}' "$(id -u)" "$(id -g)" "$(id -G)"`)},
		User: &command.Credential{UID: 65534, GID: 65533, Groups: []uint32{65532}},
	}
	got, err := v.Verify(context.Background(), "x")
	want := map[string]any{"uid": "65534", "gid": "65533", "groups": "65533 65532"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	v.User = &command.Credential{UID: 65534, GID: 65534}
	v.Argv[0] = script(t, `printf '{"groups":"%s"}' "$(id -G)"`)
	if got, err := v.Verify(context.Background(), "x"); err != nil || got["groups"] != "65534" {
		t.Errorf("root's groups are not gone: %v, %v", got, err)
	}
}

func TestVerifierEndsChildrenThatHang(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	v := &command.Verifier{Argv: []string{script(t, "sleep 60 & echo $! > "+file+"; wait")}}
	if _, err := v.Verify(context.Background(), "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child still runs", func() bool { return !running(pid) })
}

// eventually asks again and again, for at most 5 s.
func eventually(t *testing.T, complaint string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(complaint)
		}
	}
}

// running is false for a zombie: whoever adopts it may be slow to reap.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestVerifierBoundsConcurrency(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "gate")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	v := &command.Verifier{Limit: 2, Argv: []string{script(t, `mkdir "`+dir+`/$$" && read line < `+fifo+`; echo '{}'`)}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var busy atomic.Int64
	var wg sync.WaitGroup
	for range 40 { // 2 run, 16 wait
		wg.Go(func() {
			if _, err := v.Verify(ctx, "x"); errors.Is(err, command.ErrBusy) {
				busy.Add(1)
			}
		})
	}
	// Sooner than any of them runs out of time, or more would be busy.
	eventually(t, "not 22 of 40 were sent away at once", func() bool { return busy.Load() >= 22 })
	running := 0
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			running++
		}
	}
	if running > 2 {
		t.Errorf("%d run at a time", running)
	}
	cancel()
	wg.Wait()
	if _, err := (&command.Verifier{Argv: []string{script(t, "echo '{}'")}}).Verify(context.Background(), "x"); err != nil {
		t.Error(err)
	}
}
