//go:build linux

package cli

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// client returns the arguments that reach a fake agent, after "shell" or "exec".
func client(t *testing.T, addr string) []string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if _, err := newKeyFile(key); err != nil {
		t.Fatal(err)
	}
	return []string{"-i", key, "--accept-new", "debug", addr}
}

func fake(t *testing.T) *fakeAgent {
	t.Helper()
	a, err := startFakeAgent("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

func (a *fakeAgent) await(t *testing.T, line string) {
	t.Helper()
	until(t, "the agent to log "+line, func() string { return fmt.Sprint(a.log.lines) }, func() bool { return a.log.has(line) })
}

func openShell(t *testing.T, addr string) *window {
	t.Helper()
	w := openWindow(t, "agent", append([]string{"shell"}, client(t, addr)...)...)
	w.raw()
	return w
}

// proxy passes bytes until it is frozen; then it takes them and tells nobody.
type proxy struct {
	addr   string
	frozen chan struct{}
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), frozen: make(chan struct{})}
	over := make(chan struct{})
	t.Cleanup(func() { l.Close(); close(over) })
	pass := func(dst, src net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			select {
			case <-p.frozen:
				<-over
				err = io.EOF
			default:
			}
			if err != nil {
				dst.Close()
				src.Close()
				return
			}
			_, _ = dst.Write(buf[:n])
		}
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return p
}

func (p *proxy) freeze() { close(p.frozen) }
