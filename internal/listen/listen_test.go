package listen

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := Open([]string{address})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		c, err := net.Dial("tcp", l[0].Addr().String())
		if err != nil {
			t.Errorf("%s: %v", address, err)
		} else {
			c.Close()
		}
		l[0].Close()
	}
}

func TestEveryAddressIsBothFamilies(t *testing.T) {
	l, err := Open([]string{":0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l[0].Close()
	_, port, _ := net.SplitHostPort(l[0].Addr().String())
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		c.Close()
	}
}

func TestAnAddressIsItsFamilyAlone(t *testing.T) {
	four, err := Open([]string{"0.0.0.0:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer four[0].Close()
	_, port, _ := net.SplitHostPort(four[0].Addr().String())
	if c, err := net.Dial("tcp6", "[::1]:"+port); err == nil {
		c.Close()
		t.Error("0.0.0.0 is reached over IPv6")
	}
	six, err := Open([]string{"[::]:" + port})
	if err != nil {
		t.Fatalf("beside 0.0.0.0: %v", err)
	}
	six[0].Close()
}

func TestOpenSaysWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]string{
		"4000":                  "write it like :4000",
		":70000":                "port from 0 to 65535",
		":04000":                "port from 0 to 65535",
		"192.0.2.1:0":           "does not have that address",
		taken.Addr().String():   "another program has this port",
		"localhost:ssh-elephan": "port from 0 to 65535",
	} {
		l, err := Open([]string{address})
		if err == nil {
			l[0].Close()
			t.Errorf("%s was opened", address)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", address, err, want)
		}
	}
	if _, err := Open(nil); err == nil {
		t.Error("no address was accepted")
	}
}

// TestPassedSockets runs this test again as systemd would run the agent.
func TestPassedSockets(t *testing.T) {
	if os.Getenv("LISTEN_TEST") != "" {
		passedSockets(t)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run '^TestPassedSockets$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_TEST="+l.Addr().String())
	cmd.ExtraFiles = []*os.File{file}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

func passedSockets(t *testing.T) {
	l, err := Open([]string{"127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer l[0].Close()
	if got := l[0].Addr().String(); got != os.Getenv("LISTEN_TEST") {
		t.Errorf("listens on %s, not on the socket that was passed", got)
	}
	if os.Getenv("LISTEN_FDS") != "" {
		t.Error("children would believe that the socket is theirs")
	}
}

func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	for state, want := range map[State]string{Ready: "READY=1", Stopping: "STOPPING=1", Reloading: "RELOADING=1\nMONOTONIC_USEC="} {
		if err := Notify(state); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256)
		n, err := conn.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Errorf("told %q (%v), want %q", buf[:n], err, want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Errorf("without systemd: %v", err)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		sessions  int
		files     uint64
		terminals int
		low       int
	}{{64, 1 << 20, 4096, 0}, {64, 100, 4096, 1}, {5000, 1 << 20, 4096, 1}, {5000, 1024, 64, 2}, {64, 0, 0, 0}} {
		if got := checkLimits(c.sessions, c.files, c.terminals); len(got) != c.low {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if MaxFiles() == 0 || maxTerminals() == 0 {
		t.Error("the limits of this host are unknown")
	}
}
