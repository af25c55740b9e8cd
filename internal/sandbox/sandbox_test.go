//go:build linux

package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "confined" {
		confined()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start runs a confined server and returns its address, its pid and what it
// was denied: the error of each attempt, "" where it succeeded.
func start(t *testing.T) (addr string, pid int, denied map[string]string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(os.Args[0], "confined")
	cmd.ExtraFiles = []*os.File{socket, in}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("the confined process said: %s", stderr.String())
		}
	})
	out.SetReadDeadline(time.Now().Add(20 * time.Second))
	if err := json.NewDecoder(out).Decode(&denied); err != nil {
		t.Fatalf("no report: %v", err)
	}
	return l.Addr().String(), cmd.Process.Pid, denied
}

func TestConfinedProcessCanOnlyServe(t *testing.T) {
	addr, pid, denied := start(t)
	for _, attempt := range attempts {
		if what, tried := denied[attempt.name]; !tried || what == "" {
			t.Errorf("%s: it succeeded", attempt.name)
		} else if !strings.Contains(what, "not permitted") {
			t.Errorf("%s: failed, but with %q", attempt.name, what)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}
	if os.Getuid() == 0 {
		want = append(want, "CapBnd:\t0000000000000000")
	}
	for _, line := range want {
		if !slices.Contains(strings.Split(string(status), "\n"), line) {
			t.Errorf("status of the process lacks %q", line)
		}
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err != nil {
			continue // a thread that ended meanwhile
		}
		for _, line := range []string{"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !bytes.Contains(status, []byte(line)) {
				t.Errorf("thread %s lacks %q", task.Name(), line)
			}
		}
	}
	serves(t, addr)
}

// serves sends several megabytes both ways over HTTP/1.1 and HTTP/2, many
// requests at once.
func serves(t *testing.T, addr string) {
	for _, h2 := range []bool{false, true} {
		var protocols http.Protocols
		protocols.SetHTTP1(!h2)
		protocols.SetHTTP2(h2)
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: &protocols,
		}}
		body := bytes.Repeat([]byte("0123456789abcdef"), 4<<16)
		sum := fmt.Sprintf("%x", sha256.Sum256(body))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				r, err := client.Post("https://"+addr, "", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Body.Close()
				got := sha256.New()
				n, err := io.Copy(got, r.Body)
				if err != nil || fmt.Sprintf("%x", got.Sum(nil)) != sum || r.ProtoMajor == 2 != h2 {
					t.Errorf("HTTP/%d: %d bytes came back, %v", r.ProtoMajor, n, err)
				}
			})
		}
		wg.Wait()
		client.CloseIdleConnections()
	}
}
