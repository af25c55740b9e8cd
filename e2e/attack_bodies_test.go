package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shellagent/shell"
)

// peak is the most memory that a process ever had, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	kib, err := strconv.ParseInt(strings.TrimSuffix(status(t, pid)["VmHWM"], " kB"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// zeros yields n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestBodiesOfStrangers sends 200 MB in every way that a stranger can, and
// looks at the memory of both processes.
func TestBodiesOfStrangers(t *testing.T) {
	h := startHost(t, nil)
	a := newAttacker(t, h, "127.0.0.1")
	alice := loadKey(t, h.key)
	const size = 200 << 20
	stdin := "POST /v1/sessions/" + someSession + "/stdin HTTP/1.1\r\nHost: a\r\n"
	bad := "Authorization: Bearer " + a.list(newKey(t)).token + "\r\n"

	// pour sends a head and n bytes, times over, on a few connections at once.
	way := 0
	pour := func(head string, times, n int64) {
		way++
		var wg sync.WaitGroup
		var done atomic.Int64
		for i := range min(times, 20) {
			x := a.at(fmt.Sprintf("127.1.%d.%d", way, i+1))
			wg.Go(func() {
				for done.Add(1) <= times {
					c, err := x.dial()
					if err != nil {
						t.Error(err)
						return
					}
					go func() { _, _ = io.Copy(c, io.MultiReader(strings.NewReader(head), zeros(n))) }()
					if got := readAnswer(bufio.NewReader(c)); got.err == nil && got.status < 400 {
						t.Errorf("taken: %v", got)
					}
					c.Close()
				}
			})
		}
		wg.Wait()
	}
	ways := []struct {
		name string
		send func()
	}{
		{"Content-Length: 200 MB", func() { pour(stdin+bad+fmt.Sprintf("Content-Length: %d\r\n\r\n", size), 1, size) }},
		{"chunked", func() {
			pour(stdin+bad+"Transfer-Encoding: chunked\r\n\r\n"+fmt.Sprintf("%x\r\n", size), 1, size)
		}},
		{"200 of 1 MB", func() {
			pour(stdin+bad+fmt.Sprintf("Content-Length: %d\r\n\r\n", shell.MaxCallBody), 200, shell.MaxCallBody)
		}},
		{"200 of 16 KB", func() { pour(stdin+bad+"Content-Length: 16384\r\n\r\n", 200, 16<<10) }},
		{"headers without end", func() { pour(stdin+"X: ", 4, size/4) }},
		{"one header of 200 MB on HTTP/2", func() { pourHTTP2(t, a, "", strings.Repeat("x", 1<<20)) }},
		{"HTTP/2 without a length", func() { pourHTTP2(t, a, "a.b.c", "") }},
	}
	for range 20 { // what a working agent needs
		if got := a.raw(a.list(alice).String()); got.status != 200 {
			t.Fatal(got)
		}
	}
	for _, w := range ways {
		broker, front := h.cmd.Process.Pid, h.frontPID()
		brokerWas, frontWas := peak(t, broker), peak(t, front)
		w.send()
		brokerGrew, frontGrew := peak(t, broker)-brokerWas, peak(t, front)-frontWas
		t.Logf("%s: the broker grew by %d KiB, the front by %d KiB", w.name, brokerGrew>>10, frontGrew>>10)
		if brokerGrew > 10<<20 || frontGrew > 10<<20 {
			t.Errorf("%s: the broker grew by %d bytes, the front by %d", w.name, brokerGrew, frontGrew)
		}
	}
}

// pourHTTP2 sends 200 MB without saying how much it is, or a large header.
func pourHTTP2(t *testing.T, a *attacker, token, filler string) {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(context.Context, string, string) (net.Conn, error) { return a.dialTCP() },
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest("POST", "https://agent/v1/sessions/"+someSession+"/stdin", zeros(200<<20))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Filler", filler)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resp, err := transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if ctx.Err() != nil {
			t.Errorf("HTTP/2: no answer within 20 s")
		}
		return
	}
	resp.Body.Close()
	if resp.StatusCode < 400 {
		t.Errorf("HTTP/2: taken: %d", resp.StatusCode)
	}
}
