package front

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"shellagent/broker"
	"shellagent/jwtauth"
	"shellagent/shell"
)

// TestMain also is the front that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "front" {
		if err := Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestRequestsBecomeCalls(t *testing.T) {
	a := start(t, nil, func(_ context.Context, c *shell.Call) *shell.Reply {
		if c.Token != "t.o.k" || c.Method != "POST" || c.Remote.Addr().String() != "127.0.0.1" {
			return &shell.Reply{Status: 400, Code: "bad_request", Detail: fmt.Sprintf("%+v", c)}
		}
		body, err := io.ReadAll(c.Body)
		if err != nil {
			return nil
		}
		return &shell.Reply{Status: 200, Body: []byte(fmt.Sprintf("%s %d %x", c.Target, c.Size, body[:min(8, len(body))]))}
	})
	id := strings.Repeat("x", 43)
	for _, h2 := range []bool{false, true} {
		c := a.client(t, h2)
		for _, size := range []int{100, 16 << 10, 16<<10 + 1, 1 << 20} {
			body := strings.Repeat("abcdefgh", size/8)
			status, got := do(t, c, request("POST", a.url+"/v1/sessions/"+id+"/stdin", body))
			if want := fmt.Sprintf("/v1/sessions/%s/stdin %d %x", id, len(body), "abcdefgh"); status != 200 || got != want {
				t.Errorf("HTTP/2 %v, %d bytes: %d %.200q", h2, size, status, got)
			}
		}
		status, got := do(t, c, request("GET", a.url+"/v1/agent", ""))
		var doc struct{ Version, TimeMs int64 }
		if err := json.Unmarshal([]byte(got), &doc); status != 200 || err != nil || doc.Version != 1 || time.Since(time.UnixMilli(doc.TimeMs)).Abs() > time.Minute {
			t.Errorf("agent document: %d %q %v", status, got, err)
		}
	}
}

func TestStreamsPassThrough(t *testing.T) {
	data := make([]byte, 3<<20)
	rand.Read(data)
	var frames []byte
	for off := 0; off < len(data); off += 32 << 10 {
		part := data[off:min(off+32<<10, len(data))]
		frames = shell.AppendFrame(frames, shell.Frame{Type: shell.FrameStdout, End: uint64(off + len(part)), Data: part})
	}
	a := start(t, nil, func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Stream: io.NopCloser(bytes.NewReader(frames))}
	})
	for _, h2 := range []bool{false, true} {
		r := request("POST", a.url+"/v1/shell/debug", "{}")
		r.Header.Set("Accept", "application/vnd.shellagent.frames")
		if status, got := do(t, a.client(t, h2), r); status != 200 || got != string(frames) {
			t.Errorf("HTTP/2 %v: %d, %d of %d bytes", h2, status, len(got), len(frames))
		}
	}
}

func TestFrontIsConfined(t *testing.T) {
	a := start(t, nil, func(context.Context, *shell.Call) *shell.Reply { return nil })
	<-a.ready
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.PID()))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}
	if os.Getuid() == 0 {
		want = append(want, "CapBnd:\t0000000000000000", "Uid:\t65534\t65534\t65534\t65534", "Groups:\t ")
	}
	for _, line := range want {
		if !slices.Contains(strings.Split(string(status), "\n"), line) {
			t.Errorf("status lacks %q", line)
		}
	}
	eventually(t, "the report in the log", func() bool { return a.logged("landlockABI") })
}

func TestOlderTLSIsRefused(t *testing.T) {
	a := start(t, nil, func(context.Context, *shell.Call) *shell.Reply { return nil })
	addr := strings.TrimPrefix(a.url, "https://")
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		c.Close()
		t.Error("TLS 1.2 was spoken")
	}
}

func TestFrontKilled(t *testing.T) {
	a := start(t, nil, func(context.Context, *shell.Call) *shell.Reply { return &shell.Reply{Status: 200, Body: []byte("{}")} })
	for range 3 {
		<-a.ready
		if err := unix.Kill(a.PID(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The next request waits for the next front. A connection that the
		// dying one had accepted already is cut.
		eventually(t, "an answer", func() bool {
			resp, err := a.client(t, false).Do(request("GET", a.url+"/v1/sessions", ""))
			if err != nil {
				return false
			}
			resp.Body.Close()
			return resp.StatusCode == 200
		})
	}
}

func TestStopLetsRequestsEnd(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	a := start(t, func(c *broker.FrontConfig) { c.Grace = 10 * time.Second }, func(context.Context, *shell.Call) *shell.Reply {
		close(entered)
		<-release
		return &shell.Reply{Status: 200, Body: []byte("late")}
	})
	got := make(chan string, 1)
	go func() {
		resp, err := a.client(t, false).Do(request("GET", a.url+"/v1/sessions", ""))
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-entered
	a.stop()
	eventually(t, "the front to begin to stop", func() bool { return a.logged("stopping") })
	close(release)
	if s := <-got; s != "late" {
		t.Errorf("got %q", s)
	}
	if err := <-a.ended; err != nil {
		t.Error(err)
	}
	a.ended <- nil
}

func TestLeafIsRenewed(t *testing.T) {
	var a *agent
	a = start(t, func(c *broker.FrontConfig) {
		sign := c.SignLeaf
		c.SignLeaf = func(key *ecdsa.PublicKey) ([][]byte, error) {
			if _, err := sign(key); err != nil {
				return nil, err
			}
			return jwtauth.SignLeaf(a.host, key, time.Now(), 4*time.Second)
		}
	}, func(context.Context, *shell.Call) *shell.Reply { return nil })
	leafOf := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(a.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return string(c.ConnectionState().PeerCertificates[0].Raw)
	}
	first := leafOf()
	eventually(t, "another leaf", func() bool { return a.signed() >= 2 && leafOf() != first })
}

func TestConfiguredCertificate(t *testing.T) {
	one, two := configured(t), configured(t)
	a := start(t, func(c *broker.FrontConfig) { c.Certificate = one }, func(context.Context, *shell.Call) *shell.Reply { return nil })
	shows := func(c *broker.Certificate) bool {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(a.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return bytes.Equal(conn.ConnectionState().PeerCertificates[0].Raw, c.Chain[0])
	}
	if !shows(one) {
		t.Error("another certificate is shown")
	}
	if err := a.SetCertificate(two); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new certificate", func() bool { return shows(two) })
	if a.signed() != 0 {
		t.Error("a leaf was asked for")
	}
}

// configured is a certificate as an operator would have it.
func configured(t *testing.T) *broker.Certificate {
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := jwtauth.HostCertificate(host)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(host.Crypto())
	if err != nil {
		t.Fatal(err)
	}
	return &broker.Certificate{Chain: [][]byte{chain}, Key: key}
}

func TestFrontAloneSaysWhy(t *testing.T) {
	p, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	proc, err := os.StartProcess("/proc/self/exe", []string{"front.test", "front"}, &os.ProcAttr{Files: []*os.File{nil, nil, out}})
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(p)
	if state, err := proc.Wait(); err != nil || state.Success() || !strings.Contains(string(said), "agent listen") {
		t.Errorf("%v, %q", state, said)
	}
}
