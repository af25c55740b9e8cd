package broker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// watched is a front under test and what the broker saw of it.
type watched struct {
	*Front
	addr    string
	starts  atomic.Uint64
	ready   atomic.Uint64
	refused atomic.Uint64
	log     lockedBuffer
	ended   chan error
	cancel  context.CancelFunc

	mu   sync.Mutex
	said []string
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// Handle keeps what honest fronts say and answers their clients.
func (w *watched) Handle(_ context.Context, c *shell.Call) *shell.Reply {
	switch {
	case c.Method == "SAY":
		w.mu.Lock()
		defer w.mu.Unlock()
		w.said = append(w.said, c.Target)
	case c.Target == "panic":
		panic("as the test asked")
	}
	return &shell.Reply{Status: 200, Detail: "answer to " + c.Target}
}

func (w *watched) waitSaid(t *testing.T, want string) {
	t.Helper()
	eventually(t, "the front to say "+want, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.said {
			if s == want {
				return true
			}
		}
		return false
	})
}

// watch runs a front that acts as told.
func watch(t *testing.T, change func(*FrontConfig), act string, args ...string) *watched {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{addr: l.Addr().String(), ended: make(chan error, 1)}
	cfg := FrontConfig{
		Listeners: []*net.TCPListener{l.(*net.TCPListener)},
		Handler:   w,
		Setup:     Setup{BasePath: "/base", Agent: []byte(`{"version":1}`), MaxCalls: 8},
		SignLeaf:  func(*ecdsa.PublicKey) ([][]byte, error) { return [][]byte{[]byte("leaf"), []byte("host")}, nil },
		Started:   func(uint64) { w.starts.Add(1) },
		Grace:     100 * time.Millisecond,
		Ready:     func() { w.ready.Add(1) },
		Refused:   func(_ shell.Reason, _ netip.Addr, n uint64) { w.refused.Add(n) },
		Log:       slog.New(slog.NewTextHandler(&w.log, nil)),
		Program:   frontProgram(act, args...),
	}
	if change != nil {
		change(&cfg)
	}
	if w.Front, err = NewFront(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-w.ended:
		case <-time.After(20 * time.Second):
			t.Error("front does not end")
		}
		l.Close()
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	return w
}

// ask is what a client of the honest front does.
func (w *watched) ask(t *testing.T, what string) string {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, what)
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (w *watched) kill9(t *testing.T) {
	t.Helper()
	before := w.starts.Load()
	eventually(t, "a front to kill", func() bool { return w.PID() != 0 })
	if err := unix.Kill(w.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new front", func() bool { return w.starts.Load() > before })
}

func TestFrontIsFedAndServes(t *testing.T) {
	w := watch(t, nil, "serve")
	if got := w.ask(t, "hello"); got != "answer to hello" {
		t.Errorf("got %q", got)
	}
	w.waitSaid(t, `setup /base 1 0 false {"version":1}`)
	w.waitSaid(t, "leaf [leaf host]")
	w.SetAgent([]byte(`{"version":2}`))
	w.waitSaid(t, `agent {"version":2}`)
	eventually(t, "refusals to be reported", func() bool { return w.refused.Load() == 2 })
	if w.SetCertificate(&Certificate{}) == nil {
		t.Error("a certificate replaced a signed leaf")
	}
}

func TestFrontGetsCertificates(t *testing.T) {
	w := watch(t, func(c *FrontConfig) {
		c.Certificate = &Certificate{Key: []byte("key"), Chain: [][]byte{[]byte("a"), []byte("b")}}
	}, "serve")
	w.waitSaid(t, "certificate key [a b]")
	w.waitSaid(t, `setup /base 1 0 true {"version":1}`)
	if err := w.SetCertificate(&Certificate{Key: []byte("key2"), Chain: [][]byte{[]byte("c")}}); err != nil {
		t.Fatal(err)
	}
	w.waitSaid(t, "certificate key2 [c]")
	// The next front starts with it.
	w.mu.Lock()
	w.said = nil
	w.mu.Unlock()
	w.kill9(t)
	w.waitSaid(t, "certificate key2 [c]")
	if w.SetCertificate(&Certificate{Key: make([]byte, maxControl)}) == nil {
		t.Error("a certificate over the bound was taken")
	}
}

func TestFrontKilledIsReplacedAndNobodyIsRefused(t *testing.T) {
	w := watch(t, nil, "serve")
	for i := range 4 {
		if got := w.ask(t, fmt.Sprint(i)); got != fmt.Sprintf("answer to %d", i) {
			t.Errorf("got %q", got)
		}
		eventually(t, "a front to kill", func() bool { return w.PID() != 0 })
		unix.Kill(w.PID(), unix.SIGKILL)
	}
	if got := w.ask(t, "last"); got != "answer to last" || w.starts.Load() != 5 {
		t.Errorf("got %q from front %d", got, w.starts.Load())
	}
}

func TestPanicEndsOneCall(t *testing.T) {
	w := watch(t, nil, "serve")
	if got := w.ask(t, "panic"); got != shell.ReasonInternal.Refusal().Text {
		t.Errorf("got %q", got)
	}
	if got := w.ask(t, "more"); got != "answer to more" || w.starts.Load() != 1 {
		t.Errorf("got %q from front %d", got, w.starts.Load())
	}
	if !strings.Contains(w.log.String(), "as the test asked") {
		t.Error("the panic is not in the log")
	}
}

func TestFrontThatNeverStartsIsAnError(t *testing.T) {
	w := watch(t, nil, "die")
	err := <-w.ended
	w.ended <- err
	if err == nil || w.starts.Load() != maxStillborn {
		t.Errorf("ended with %v after %d starts", err, w.starts.Load())
	}
	eventually(t, "its output in the log", func() bool { return strings.Contains(w.log.String(), "unexpected EOF") })
	w = watch(t, func(c *FrontConfig) { c.Program = []string{"/nonexistent", "front"} }, "")
	err = <-w.ended
	w.ended <- err
	if err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("ended with %v", err)
	}
}

func TestFrontThatDiesAgainAndAgainIsKeptAlive(t *testing.T) {
	w := watch(t, nil, "ready-die")
	began := time.Now()
	eventually(t, "five starts", func() bool { return w.starts.Load() >= 5 })
	// 0, 100, 200, 400 ms.
	if took := time.Since(began); took < 700*time.Millisecond {
		t.Errorf("five starts within %v: no backoff", took)
	}
}

func TestEndingTheFront(t *testing.T) {
	w := watch(t, nil, "serve")
	eventually(t, "the front", func() bool { return w.ready.Load() == 1 })
	pid := w.PID()
	w.cancel()
	err := <-w.ended
	w.ended <- err
	if err != nil {
		t.Errorf("ended with %v", err)
	}
	if unix.Kill(pid, 0) != unix.ESRCH {
		t.Error("the front is still there")
	}
	// One that ignores Drain is killed.
	w = watch(t, func(c *FrontConfig) { c.Grace = 10 * time.Millisecond }, "packets")
	eventually(t, "the front", func() bool { return w.ready.Load() == 1 })
	w.cancel()
	err = <-w.ended
	w.ended <- err
	if err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestFrontDiesWithItsBroker(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := os.StartProcess("/proc/self/exe", frontProgram("broker")[1:], &os.ProcAttr{
		Files: []*os.File{nil, in, os.Stderr}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	p.Kill()
	p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid == 0 {
		t.Fatal(line, err)
	}
	eventually(t, "the front to die", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return err != nil || strings.Contains(string(status), "State:\tZ")
	})
}

func TestFrontHasNoPrivileges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a front as another user")
	}
	w := watch(t, func(c *FrontConfig) { c.Credential = &syscall.Credential{Uid: 65534, Gid: 65534} }, "serve")
	w.ask(t, "x")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n", "NoNewPrivs:\t1\n",
		"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
		"CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
	} {
		if !bytes.Contains(status, []byte(want)) {
			t.Errorf("status lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", status)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", w.PID()))
	if err != nil || len(environ) > 0 {
		t.Errorf("environment %q, %v", environ, err)
	}
	own, err := os.ReadFile("/proc/self/status")
	if err != nil || bytes.Contains(own, []byte("CapBnd:\t0000000000000000\n")) || bytes.Contains(own, []byte("NoNewPrivs:\t1\n")) {
		t.Errorf("starting the front took the agent's own privileges: %v\n%s", err, own)
	}
}
