package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The examples of examples/proxy, run as they are: see also the other
// proxied_*_test.go.
func TestSessionsBehindProxies(t *testing.T) {
	for _, a := range arrangements() {
		t.Run(a.String(), func(t *testing.T) {
			p := startProxied(t, a, nil)
			t.Run("shell", func(t *testing.T) { shellBehindProxy(t, p) })
			t.Run("keystrokes", func(t *testing.T) { keystrokesBehindProxy(t, p) })
			t.Run("20 MB", func(t *testing.T) { bulkBehindProxy(t, p, func() {}) })
			t.Run("20 MB and a reload", func(t *testing.T) { bulkBehindProxy(t, p, func() { p.server.reload(p) }) })
			t.Run("20 MB and another proxy", func(t *testing.T) { bulkBehindProxy(t, p, func() { p.stopProxy(); p.startProxy() }) })
			t.Run("the web site", func(t *testing.T) { websiteBesideAgent(t, p) })
			t.Run("another proxy", func(t *testing.T) { anotherProxy(t, p) })
		})
	}
}

// shellBehindProxy works on a terminal while the proxy is reloaded under it.
func shellBehindProxy(t *testing.T, p *proxied) {
	s := shellScreen(t, p.host)
	s.remotePrompt()
	s.line("tty; stty size")
	s.see("/dev/pts/")
	s.see("30 100")
	s.resize(90, 20)
	s.line("clear; echo sleep''ing; sleep 1000")
	s.see("sleeping\n")
	s.keys("C-c")
	s.line("echo status=$?")
	s.see("status=130")

	s.line("clear; mark=kept")
	before := p.lostConnections()
	p.server.reload(p)
	s.line("echo $mark $mark")
	s.see("kept kept")
	if n := p.lostConnections() - before; n != 0 {
		t.Errorf("the reload cut the session's connection %d times", n)
	}
	s.resize(80, 24)
	s.line("clear; exit 7")
	s.see("local$")
	s.line("echo code=$?")
	s.see("code=7")
}

// resize changes the window and waits until the session has its size. What is
// typed next may be there before it is.
func (s *screen) resize(cols, rows int) {
	s.t.Helper()
	s.tmux("resize-window", "-x", strconv.Itoa(cols), "-y", strconv.Itoa(rows))
	s.line(fmt.Sprintf("clear; until stty size | grep -x '%d %d'; do sleep 0.1; done", rows, cols))
	s.see(fmt.Sprintf("%d %d\nremote$", rows, cols))
}

// keystrokesBehindProxy looks for a proxy that waits for more before it passes
// something on: a shell works then, and nobody can bear it.
func keystrokesBehindProxy(t *testing.T, p *proxied) {
	const strokes, limit = 40, 60 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := p.clientCmd(ctx, "exec", "--accept-new", "debug", "myhost", "--", "cat")
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	echo, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for range strokes {
		began := time.Now()
		if _, err := keys.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(echo, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	keys.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	slices.Sort(took)
	if median := took[strokes/2]; median > limit {
		t.Errorf("a keystroke's echo takes %s, more than %s: what holds it back?", median, limit)
	}
}

// bulkBehindProxy sends 20 MB through the program and back, and does something
// when half of it has left.
func bulkBehindProxy(t *testing.T, p *proxied, atHalf func()) {
	data := make([]byte, 20<<20)
	_, _ = rand.Read(data)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := p.clientCmd(ctx, "exec", "--accept-new", "debug", "myhost", "--command", "cat; echo done >&2; exit 7")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	half := make(chan struct{})
	go func() {
		defer stdin.Close()
		_, _ = stdin.Write(data[:len(data)/2])
		close(half)
		_, _ = stdin.Write(data[len(data)/2:])
	}()
	<-half
	atHalf()
	got := p.finish(cmd.Wait(), cmd, &stdout, &stderr)
	want, arrived := sha256.Sum256(data), sha256.Sum256(stdout.Bytes())
	if arrived != want || got.code != 7 || !strings.Contains(got.stderr, "done\n") {
		t.Errorf("sent %x, arrived %x: %d bytes, code %d, %q", want, arrived, len(got.stdout), got.code, got.stderr)
	}
}

// websiteBesideAgent looks at what else the proxy serves, where it does.
func websiteBesideAgent(t *testing.T, p *proxied) {
	var got string
	switch {
	case !p.endsTLS:
		got = p.curl("https://other.test/", "--connect-to", fmt.Sprintf("other.test:443:127.0.0.1:%d", p.proxyPort))
	case p.prefix != "":
		got = p.curl(p.url("/"))
	default:
		return
	}
	if !strings.Contains(got, "the web site") {
		t.Errorf("beside the agent there is %q", got)
	}
}

// anotherProxy kills the proxy under a session and starts another in its place:
// the session goes on where it was.
func anotherProxy(t *testing.T, p *proxied) {
	s := shellScreen(t, p.host)
	s.remotePrompt()
	s.line("clear; mark=kept")
	before := p.lostConnections()
	p.stopProxy()
	s.line("echo $mark $mark")
	p.startProxy()
	s.see("kept kept")
	if n := p.lostConnections() - before; n == 0 {
		t.Error("no connection was lost")
	}
	s.line("exit 7")
	s.see("local$")
	s.line("echo code=$?")
	s.see("code=7")
}

// A proxy that ends for good takes its sessions along: the client says so.
func TestProxyEndsUnderASession(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, a := range []arrangement{nginxArrangements()[0], haproxyArrangements()[2]} {
		t.Run(a.String(), func(t *testing.T) {
			p := startProxied(t, a, nil)
			s := shellScreen(t, p.host)
			s.remotePrompt()
			p.stopProxy()
			s.see("local$")
			s.see("refused")
			s.line("echo code=$?; stty -a | grep -o ' echo ' | head -1")
			s.see("code=255")
			s.see(" echo")
		})
	}
}
