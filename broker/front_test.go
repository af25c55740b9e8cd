package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

func TestFrontIsFedAndServes(t *testing.T) {
	w := watch(t, nil, "serve")
	if got := w.ask(t, "hello"); got != "answer to hello" {
		t.Errorf("got %q", got)
	}
	w.waitSaid(t, `setup /base 1 0 false {"version":1}`)
	w.waitSaid(t, "leaf [leaf host]")
	w.SetAgent([]byte(`{"version":2}`))
	w.waitSaid(t, `agent {"version":2}`)
	w.RenewLeaf()
	w.waitSaid(t, "renew")
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
	began := time.Now()
	w := watch(t, nil, "ready-die")
	eventually(t, "five starts", func() bool { return w.starts.Load() >= 5 })
	// What a front says before it dies is heard.
	eventually(t, "five words of being ready", func() bool { return w.ready.Load() >= 5 })
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
		t.Skip("needs root: starts a front as another user")
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
