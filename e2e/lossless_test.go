package e2e

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// soaking says that tests may take their time: make soak sets it.
func soaking() bool { return os.Getenv("SHELLAGENT_SOAK") != "" }

// many is a count for make test, and another for make soak.
func many(test, soak int) int {
	if soaking() {
		return soak
	}
	return test
}

// noise is n bytes that both sides can make: AES-CTR of zeros.
func noise(n int64) io.Reader {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		panic(err)
	}
	return &cipher.StreamReader{S: cipher.NewCTR(block, make([]byte, 16)), R: io.LimitReader(nulls{}, n)}
}

type nulls struct{}

func (nulls) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// makeNoise is the command that prints noise.
func makeNoise(n int64) string {
	const zero = "00000000000000000000000000000000"
	return fmt.Sprintf("head -c %d /dev/zero | openssl enc -aes-128-ctr -K %s -iv %s", n, zero, zero)
}

func sumOf(r io.Reader) string {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// transfer is a command whose input, output, error output and exit code are
// all known.
type transfer struct {
	down, up int64 // bytes
	terminal bool  // down only
	slow     bool  // down within about eight seconds
	code     int
}

// run has the client run it, and returns what was wrong.
func (x transfer) run(h *host) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(many(100, 1000))*time.Second)
	defer cancel()
	source := makeNoise(x.down)
	if x.slow {
		source += fmt.Sprintf(" | { for i in $(seq 10); do dd bs=%d count=1 iflag=fullblock status=none; sleep 0.8; done; }", x.down/10)
	}
	script := fmt.Sprintf("exec 3<&0; sha256sum <&3 >&2 & %s; wait; exit %d", source, x.code)
	args := []string{"--accept-new", "-v", "debug", "myhost", "--", "bash", "-c", script}
	if x.terminal {
		script = fmt.Sprintf("stty raw -echo; %s; exit %d", makeNoise(x.down), x.code)
		args = []string{"--accept-new", "-t", "-n", "debug", "myhost", "--", "bash", "-c", script}
	}
	cmd := h.clientCmd(ctx, "exec", args...)
	hash, stderr := sha256.New(), &bytes.Buffer{}
	counted := &counter{w: hash}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = noise(x.up), counted, stderr
	cmd.WaitDelay = 5 * time.Second
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != x.code {
		return fmt.Errorf("exit code %d, want %d, after %d of %d bytes: %s", code, x.code, counted.n, x.down, tail(stderr.String(), 2000))
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)); got != sumOf(noise(x.down)) {
		return fmt.Errorf("%d bytes came down, differing from the %d sent", counted.n, x.down)
	}
	if want := sumOf(noise(x.up)); !x.terminal && !bytes.Contains(stderr.Bytes(), []byte(want)) {
		return fmt.Errorf("what went up differs: want %s in %q", want, tail(stderr.String(), 2000))
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

const mega = 1_000_000

func TestLosslessThroughCuts(t *testing.T) {
	need(t, "openssl", "sha256sum")
	h := startHost(t, nil)
	for _, c := range []struct {
		name string
		transfer
		faults
		least int64 // cuts that must have been made
	}{
		{"50 cuts, 100 MB down and 20 MB up", transfer{down: int64(many(100, 2000)) * mega, up: 20 * mega, code: 7}, faults{cuts: many(50, 1000)}, int64(many(50, 1000))},
		{"50 cuts on a terminal", transfer{down: int64(many(40, 800)) * mega, terminal: true, code: 8}, faults{cuts: many(50, 1000)}, int64(many(50, 1000))},
		{"5% of the answers swallowed", transfer{down: 10 * mega, up: int64(many(20, 400)) * mega, code: 9}, faults{swallow: 20}, 2},
		{"no connection lives for longer than 3 s", transfer{down: 10 * mega, up: 2 * mega, slow: true, code: 10}, faults{life: 3 * time.Second}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newCutting(t, h.port, c.faults)
			h.targetPort(p.port())
			p.arm() // the first contact is cut as well
			began := time.Now()
			if err := c.run(h); err != nil {
				t.Error(err)
			}
			if made := p.made.Load(); made < c.least {
				t.Errorf("only %d cuts were made", made)
			}
			t.Logf("%d cuts in %v", p.made.Load(), time.Since(began).Round(time.Millisecond))
		})
	}
}

// Whatever kills the front, its sessions do not notice.
func TestLosslessWhileTheFrontIsKilled(t *testing.T) {
	need(t, "openssl", "sha256sum", "pgrep")
	// A front that dies again and again is started ever later, so each of
	// several agents loses a few.
	var kills atomic.Int32
	var agents sync.WaitGroup
	for range 4 {
		h := startHost(t, nil)
		if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
			t.Fatal(got.stderr)
		}
		agents.Go(func() { kills.Add(h.killFronts(many(5, 25))) })
	}
	agents.Wait()
	t.Logf("%d kills", kills.Load())
}

// killFronts kills the agent's front that often, while transfers run, and
// returns how often it did.
func (h *host) killFronts(times int) (kills int32) {
	over := make(chan struct{})
	var transfers sync.WaitGroup
	for _, x := range []transfer{{down: 30 * mega, up: 10 * mega, code: 3}, {down: 5 * mega, terminal: true, code: 5}} {
		transfers.Go(func() {
			for {
				if err := x.run(h); err != nil {
					h.t.Error(err)
					return
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for ; kills < int32(times); kills++ {
		<-tick.C
		old := h.frontPID()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			h.t.Error(err)
			break
		}
		if !eventually(20*time.Second, func() bool { pid := h.frontPID(); return pid != 0 && pid != old }) {
			h.t.Error("no other front after 20 s")
			break
		}
	}
	close(over)
	transfers.Wait()
	return kills
}
