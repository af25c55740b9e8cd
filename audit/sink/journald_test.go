package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/audit"
)

// What is too long for a datagram comes as a sealed file.
func TestJournaldDatagrams(t *testing.T) {
	tr := newTrail(t, audit.Options{})
	path := filepath.Join(tr.dir, "socket")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 40<<10) // command and line together
	if err := tr.Append(&audit.Event{Kind: audit.CommandRun, Session: "S1", Command: "two\nlines"}, &audit.Event{Kind: audit.CommandRun, Command: long}); err != nil {
		t.Fatal(err)
	}
	tr.apply(Config{Type: TypeJournald, Address: path})
	var all []string
	for range 3 {
		b, control := make([]byte, 1<<20), make([]byte, 1<<10)
		n, c, _, _, err := l.ReadMsgUnix(b, control)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			messages, err := unix.ParseSocketControlMessage(control[:c])
			if err != nil || len(messages) != 1 {
				t.Fatal(err)
			}
			fds, err := unix.ParseUnixRights(&messages[0])
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fds[0]), "memfd")
			n, err = f.ReadAt(b, 0)
			if n == 0 {
				t.Fatal(err)
			}
			f.Close()
		}
		all = append(all, string(b[:n]))
	}
	for i, want := range []string{
		"SHELLAGENT_EVENT=trail.begins\n",
		"SHELLAGENT_COMMAND\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\n",
		"SHELLAGENT_COMMAND=" + long + "\n",
	} {
		if !strings.Contains(all[i], want) || !strings.Contains(all[i], "PRIORITY=6\nSYSLOG_IDENTIFIER=shellagent\n") {
			t.Errorf("datagram %d: %.600q", i, all[i])
		}
	}
	tr.awaitAll()
}

func TestLongDatagramIsPassedAsAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &journaldSender{address: path, timeout: time.Second}
	defer s.close()
	entry := audit.Entry{Event: audit.Event{Kind: audit.CommandRun, Command: strings.Repeat("x", 4<<20)}}
	if out, err := s.send(t.Context(), []audit.Entry{entry}); err != nil || out.done != 1 {
		t.Fatalf("%v %+v", err, out)
	}
	control := make([]byte, 1<<10)
	n, c, _, _, err := l.ReadMsgUnix(make([]byte, 10), control)
	if err != nil || n != 0 || c == 0 {
		t.Fatalf("%v: %d bytes, %d of control", err, n, c)
	}
	messages, err := unix.ParseSocketControlMessage(control[:c])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "memfd")
	defer f.Close()
	if _, err := f.WriteAt([]byte("changed"), 0); err == nil {
		t.Error("the file can be changed while it is read")
	}
}

// A real journald, in a namespace of its own, stores the fields.
func TestRealJournald(t *testing.T) {
	const daemon = "/lib/systemd/systemd-journald"
	namespace := fmt.Sprint("shellagenttest", os.Getpid())
	if os.Geteuid() != 0 {
		t.Skip("needs root: it runs a journald")
	}
	for _, dir := range []string{"/run/systemd/journal." + namespace, "/run/log/journal"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.RemoveAll("/run/systemd/journal." + namespace) })
	var log bytes.Buffer
	journald := exec.Command(daemon, namespace)
	journald.Stdout, journald.Stderr = &log, &log
	journald.Env = append(os.Environ(), "RUNTIME_DIRECTORY=/run/systemd/journal."+namespace)
	if err := journald.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = journald.Process.Kill()
		_ = journald.Wait()
		for _, where := range []string{"/run/log/journal/*.", "/var/log/journal/*."} {
			dirs, _ := filepath.Glob(where + namespace)
			for _, d := range dirs {
				_ = os.RemoveAll(d)
			}
		}
		if t.Failed() {
			t.Logf("journald: %s", log.String())
		}
	})
	tr := newTrail(t, audit.Options{})
	tr.add(0, 5)
	tr.apply(Config{Type: TypeJournald, Address: "/run/systemd/journal." + namespace + "/socket"})
	tr.awaitAll()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		out, _ := exec.CommandContext(ctx, "journalctl", "--namespace="+namespace, "-o", "json", "SYSLOG_IDENTIFIER=shellagent").Output()
		var got []string
		for line := range strings.Lines(string(out)) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatal(err)
			}
			if l, ok := fields["SHELLAGENT_LINE"].(string); ok {
				got = append(got, l)
			}
		}
		if len(got) >= 6 {
			tr.wholeAndInOrder(got)
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("journalctl has %d lines: %.500s", len(got), out)
		}
	}
}
