package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// elsewhere is a network namespace with two ways to this machine, of which one
// is up: a laptop that goes from one network to another.
type elsewhere struct {
	t    *testing.T
	name string
	net  int // third byte of the addresses
}

// ip runs ip(8), in the namespace or here.
func (e *elsewhere) ip(inside bool, args ...string) {
	e.t.Helper()
	if inside {
		args = append([]string{"-n", e.name}, args...)
	}
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		e.t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	needRoot(t)
	need(t, "ip")
	e := &elsewhere{t: t, name: fmt.Sprintf("sa%d", os.Getpid()), net: os.Getpid() % 200}
	e.ip(false, "netns", "add", e.name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", e.name).Run() })
	for way := range 2 {
		here, there := e.link("h", way), e.link("c", way)
		e.ip(false, "link", "add", here, "type", "veth", "peer", "name", there, "netns", e.name)
		t.Cleanup(func() { _ = exec.Command("ip", "link", "del", here).Run() })
		e.ip(false, "addr", "add", e.address(way, 1)+"/30", "dev", here)
		e.ip(false, "link", "set", here, "up")
	}
	e.ip(true, "link", "set", "lo", "up")
	return e
}

func (e *elsewhere) link(side string, way int) string {
	return fmt.Sprintf("%s%s%d", e.name, side, way)
}

func (e *elsewhere) address(way, host int) string {
	return fmt.Sprintf("198.18.%d.%d", e.net+way, host)
}

// up takes a way; the agent is always found at the first one's address.
func (e *elsewhere) up(way int) {
	e.ip(true, "link", "set", e.link("c", way), "up")
	e.ip(true, "addr", "add", e.address(way, 2)+"/30", "dev", e.link("c", way))
	e.ip(true, "route", "replace", "default", "via", e.address(way, 1))
}

func (e *elsewhere) down(way int) {
	e.ip(true, "addr", "flush", "dev", e.link("c", way))
	e.ip(true, "link", "set", e.link("c", way), "down")
}

func TestAClientMovesToAnotherNetwork(t *testing.T) {
	e := newElsewhere(t)
	h := startHost(t, func(h *host, c object) { c["listen"] = object{"address": fmt.Sprintf("0.0.0.0:%d", h.port)} })
	h.writeJSON(h.client, object{
		"signingKeyPath": h.key,
		"targets":        object{"myhost": object{"hostname": e.address(0, 1), "port": h.port, "source": "debug"}},
	})
	h.through = []string{"ip", "netns", "exec", e.name}
	e.up(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const lines = 80
	cmd := h.clientCmd(ctx, "exec", "--accept-new", "debug", "myhost", "--",
		"bash", "-c", fmt.Sprintf("exec 3<&0; cat <&3 >&2 & for i in $(seq %d); do echo $i; sleep 0.1; done; wait; exit 4", lines))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	longest, last, n := time.Duration(0), time.Now(), 0
	typed := ""
	for out := bufio.NewScanner(stdout); out.Scan(); {
		if n++; out.Text() != fmt.Sprint(n) {
			t.Fatalf("line %d is %q", n, out.Text())
		}
		if n > 1 {
			longest = max(longest, time.Since(last))
		}
		last = time.Now()
		switch n {
		case 20: // one network goes, another comes half a second later
			e.down(0)
			time.AfterFunc(500*time.Millisecond, func() { e.up(1) })
		case 50: // and back, both being there for a moment
			e.up(0)
			e.down(1)
		}
		line := fmt.Sprintf("typed %d\n", n)
		typed += line
		if _, err := stdin.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if n == lines {
			stdin.Close()
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 || n != lines {
		t.Errorf("exit code %d after %d lines: %s", code, n, stderr.String())
	}
	if got := stderr.String(); got[strings.Index(got, "typed 1\n"):] != typed {
		t.Errorf("typed was %q", tail(got, 2000))
	}
	// Nobody says that a connection is dead; its silence would take 25 s.
	if longest > 4*time.Second {
		t.Errorf("nothing came for %v", longest)
	}
	t.Logf("nothing came for %v at most", longest)
}
