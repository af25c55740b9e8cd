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

// slowly is the end of a pipeline that passes n bytes on in about eight seconds.
func slowly(n int64) string {
	return fmt.Sprintf(" | { for i in $(seq 10); do dd bs=%d count=1 iflag=fullblock status=none; sleep 0.8; done; }", n/10)
}

// job is a session that knows what must come of it.
type job interface{ run(h *host) error }

// transfer is a command whose input, output, error output and exit code are
// all known.
type transfer struct {
	down, up int64 // bytes
	terminal bool  // down only, as Server-Sent Events
	slow     bool
	code     int
}

// run has the client run it, and returns what was wrong.
func (x transfer) run(h *host) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(many(100, 1000))*time.Second)
	defer cancel()
	source := makeNoise(x.down)
	if x.slow {
		source += slowly(x.down)
	}
	script := fmt.Sprintf("exec 3<&0; sha256sum <&3 >&2 & %s; wait; exit %d", source, x.code)
	args := []string{"--accept-new", "-v", "debug", "myhost", "--", "bash", "-c", script}
	if x.terminal {
		script = fmt.Sprintf("stty raw -echo; %s; exit %d", makeNoise(x.down), x.code)
		args = []string{"--accept-new", "--sse", "-t", "-n", "debug", "myhost", "--", "bash", "-c", script}
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

// typing is a terminal on which a program shows what is typed, byte for byte, and
// then something of its own, as Server-Sent Events.
type typing struct {
	typed, shown int64 // bytes
	slow         bool  // shown slowly
	code         int
}

// run types it all and returns what was wrong.
func (x typing) run(h *host) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(many(100, 1000))*time.Second)
	defer cancel()
	source := makeNoise(x.shown)
	if x.slow {
		source += slowly(x.shown)
	}
	script := fmt.Sprintf("stty raw -echo; printf R; head -c %d; %s; exit %d", x.typed, source, x.code)
	cmd := h.clientCmd(ctx, "exec", "--accept-new", "--sse", "-v", "-t", "debug", "myhost", "--", "bash", "-c", script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	shown := sha256.New()
	ready := make([]byte, 1)
	_, _ = io.ReadFull(stdout, ready)
	var typist sync.WaitGroup
	typist.Go(func() { _, _ = io.Copy(stdin, noise(x.typed)) })
	n, _ := io.Copy(shown, stdout)
	_ = cmd.Wait()
	typist.Wait()
	if code := cmd.ProcessState.ExitCode(); code != x.code || string(ready) != "R" {
		return fmt.Errorf("terminal: exit code %d, want %d, after %d of %d bytes: %s", code, x.code, n, x.typed+x.shown, tail(stderr.String(), 2000))
	}
	if want := sumOf(io.MultiReader(noise(x.typed), noise(x.shown))); fmt.Sprintf("%x", shown.Sum(nil)) != want {
		return fmt.Errorf("%d bytes were shown, differing from the %d typed and %d more", n, x.typed, x.shown)
	}
	return nil
}

const mega = 1_000_000

func TestLosslessThroughCuts(t *testing.T) {
	need(t, "openssl", "sha256sum")
	// 100 MB down and 20 MB up, in both encodings; of what is typed on a terminal,
	// each byte comes down again.
	const up = 20 * mega
	down, cuts := int64(many(100, 2000))*mega, many(50, 1000)
	both := map[string]job{
		"exec":     transfer{down: down, up: up, code: 7},
		"terminal": typing{typed: up, shown: down - up, code: 8},
	}
	// Each answer that never comes is waited for, 3 s or, after a large request, 20.
	silence := map[string]job{
		"exec":     transfer{down: down, up: int64(many(4, 20)) * mega, code: 11},
		"terminal": typing{typed: int64(many(2, 20)) * mega, shown: int64(many(8, 80)) * mega, code: 12},
	}
	slow := map[string]job{
		"exec":     transfer{down: 100 * mega, up: up, slow: true, code: 9},
		"terminal": typing{typed: up, shown: 80 * mega, slow: true, code: 10},
	}
	mixed := slow
	if soaking() {
		mixed = both // which is slow enough
	}
	for _, c := range []struct {
		name string
		jobs map[string]job
		faults
		least int64 // connections that must have been cut or silenced
	}{
		{"cuts", both, faults{cuts: cuts}, int64(cuts)},
		{"5% of the answers are lost with their connections", both, faults{swallow: 20}, 2},
		{"5% of the answers never come", silence, faults{swallow: 20, hang: true}, 1},
		{"no connection lives for longer than 3 s", slow, faults{life: 3 * time.Second}, 2},
		{"all of it", mixed, faults{cuts: cuts / 2, swallow: 20, life: 3 * time.Second}, int64(cuts / 2)},
	} {
		for name, job := range c.jobs {
			t.Run(c.name+", "+name, func(t *testing.T) {
				t.Parallel()
				h := startHost(t, nil)
				p := newCutting(t, h.port, c.faults)
				h.targetPort(p.port())
				if got := h.exec(nil, "debug", "myhost", "--", "true"); got.code != 0 {
					t.Fatal(got.stderr) // the first contact, which is asked for and not tried again
				}
				p.arm()
				began := time.Now()
				if err := job.run(h); err != nil {
					t.Error(err)
				}
				made, silenced := p.made.Load(), p.silenced.Load()
				if made+silenced < c.least {
					t.Errorf("only %d cuts were made, %d connections silenced", made, silenced)
				}
				t.Logf("%d cuts, %d connections silenced, %d small answers in %v", made, silenced, p.answers.Load(), time.Since(began).Round(time.Millisecond))
			})
		}
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
