package peers

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is asked in the same words has to mean the same to everybody.
func TestCommandLines(t *testing.T) {
	site := &Site{Config: Config{Agent: "/bin/agent", Root: "/peers"}, Dir: "/site", home: "/home/bench", uid: 7, gid: 8}
	ours := &Ours{site: site, name: "ours", client: "/bin/agent", config: "c.json"}
	ssh := &OpenSSH{site: site, config: "s"}
	dropbear := &Dropbear{site: site, port: 22, key: "k"}
	local := &Local{site, "bench"}
	for _, c := range []struct {
		peer Peer
		ask  Ask
		want string // empty: not offered
	}{
		{ours, Ask{}, "/bin/agent shell -c c.json bench loopback"},
		{ours, Ask{Command: "true"}, "/bin/agent exec -c c.json -T bench loopback --command true"},
		{ours, Ask{Command: "top", Terminal: true, Many: true}, "/bin/agent exec -c c.json -t many loopback --command top"},
		{ours, Ask{Cipher: "aes"}, ""},
		{ours, Ask{Command: "true", Recorded: RecordedPlain}, "/bin/agent exec -c c.json -T recorded loopback --command true"},
		{ssh, Ask{Command: "true", Recorded: RecordedPlain}, ""},
		{ssh, Ask{}, "/peers/usr/bin/ssh -F s -S none 127.0.0.1"},
		{ssh, Ask{Command: "true"}, "/peers/usr/bin/ssh -F s -S none 127.0.0.1 true"},
		{ssh, Ask{Command: "top", Terminal: true, Cover: "off"}, "/peers/usr/bin/ssh -F s -t -o ObscureKeystrokeTiming=no -S none 127.0.0.1 top"},
		{ssh, Ask{Command: "top", Terminal: true, Cover: "on"}, "/peers/usr/bin/ssh -F s -t -o ObscureKeystrokeTiming=yes -S none 127.0.0.1 top"},
		{ssh, Ask{Command: "true", Compress: true, Cipher: "aes"}, "/peers/usr/bin/ssh -F s -C -c aes -S none 127.0.0.1 true"},
		{dropbear, Ask{Command: "top", Terminal: true}, "/peers/usr/bin/dbclient -y -y -i k -p 22 -l shellagent-bench -t 127.0.0.1 top"},
		{dropbear, Ask{Compress: true}, ""},
		{dropbear, Ask{Cover: "on"}, ""},
		{local, Ask{}, "bench relay 7 8 /home/bench /bin/bash"},
		{local, Ask{Command: "top", Terminal: true}, "bench relay 7 8 /home/bench /bin/bash -c top"},
		{local, Ask{Command: "true"}, ""},
	} {
		got, err := c.peer.Command(c.ask)
		if c.want == "" {
			if !errors.Is(err, ErrNotOffered) {
				t.Errorf("%s, %+v: %v", c.peer.Name(), c.ask, err)
			}
			continue
		}
		if line := strings.Join(got.Argv, " "); err != nil || line != c.want {
			t.Errorf("%s, %+v: %q, %v, want %q", c.peer.Name(), c.ask, line, err, c.want)
		}
	}
}

func TestAServerThatEndsAtItsStartSaysWhy(t *testing.T) {
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "echo no such key >&2; exit 1")
	_, err = serve(t.Context(), cmd, filepath.Join(t.TempDir(), "log"), "/bin", port)
	if err == nil || !strings.Contains(err.Error(), "no such key") || !strings.Contains(err.Error(), "ended at its start") {
		t.Errorf("%v", err)
	}
}

func TestOnlyRootBuildsASite(t *testing.T) {
	if syscall.Geteuid() == 0 {
		t.Log("NOT RUN: this is root")
		return
	}
	if s, err := NewSite(Config{}); err == nil || !strings.Contains(err.Error(), "needs root") {
		s.Close()
		t.Errorf("%v", err)
	}
}

// A benchmark that waited for another finds no line of that one's.
func TestALineIsGoneBeforeTheNextBenchmark(t *testing.T) {
	if syscall.Geteuid() != 0 {
		t.Log("NOT RUN: a line between network namespaces needs root")
		return
	}
	const number = 9
	first := new(Site)
	if err := first.lock(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Line(number, 0); err != nil {
		first.Close()
		t.Fatal(err)
	}
	next := make(chan error)
	go func() {
		second := new(Site)
		defer second.Close()
		err := second.lock()
		if err == nil {
			_, err = second.Line(number, 0)
		}
		next <- err
	}()
	first.Close()
	if err := <-next; err != nil {
		t.Error(err)
	}
}

func TestWhatWasMadeLastGoesFirst(t *testing.T) {
	var order []int
	s := new(Site)
	for i := range 3 {
		s.later(func() { order = append(order, i) })
	}
	s.Close()
	s.Close()
	if len(order) != 3 || order[0] != 2 || order[2] != 0 {
		t.Errorf("%v", order)
	}
}
