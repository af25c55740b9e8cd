package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// countingProgram's output is the numbers that were prompted, as bytes.
type countingProgram struct {
	*benchProgram
	next byte
}

func (p *countingProgram) Read(b []byte) (int, error) {
	n, err := p.benchProgram.Read(b)
	for i := range b[:n] {
		b[i] = p.next
		p.next++
	}
	return n, err
}

func (p *countingProgram) Output(t FrameType) io.Reader {
	if t == FrameStdout {
		return p
	}
	return nil
}

// Whoever gives it, and whatever is refused meanwhile, output arrives whole, in its
// order, and with its offsets.
func TestOutputIsGivenOnceByWhoeverGivesIt(t *testing.T) {
	const total = 200_000
	p := &countingProgram{benchProgram: newBenchProgram(4095)}
	s := benchSession(p, "a")
	st, err := s.Attach("a", home, 0)
	if err != nil {
		t.Fatal(err)
	}
	var writing atomic.Bool // to the connection: one at a time, which the stream sees to
	var mu sync.Mutex
	var got []byte
	prompt := 0
	take := func(f Frame) {
		if writing.Swap(true) {
			t.Error("two write at once")
		}
		defer writing.Store(false)
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, f.Data...); f.Type == FrameStdout && f.End != uint64(len(got)) {
			t.Errorf("a frame ends at %d, want %d", f.End, len(got))
		}
	}
	st.Prompt(func(frame []byte) bool {
		if rand.N(4) == 0 {
			return false
		}
		f, err := ReadFrame(bytes.NewReader(frame), nil)
		if err != nil {
			t.Error(err)
		}
		prompt++
		take(f)
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	given := make(chan error, 1)
	go func() {
		buf := make([]byte, 8<<10)
		for {
			f, err := st.Next(ctx, buf)
			if err != nil {
				given <- err
				return
			}
			if f.Type == FrameStdout {
				take(f)
			}
		}
	}()
	for left := total; left > 0; {
		n := min(left, 1+rand.N(10))
		if rand.N(50) == 0 {
			n = min(left, 3000)
		}
		p.prompt <- n
		left -= n
		if rand.N(20) == 0 {
			s.Notify(Notice{Text: "between"})
		}
		if rand.N(10) == 0 {
			if _, err := s.Stdin(ctx, "a", Stdin{Ack: s.backlog.End() / 2}); err != nil && !errors.Is(err, ErrOutputNotKept) {
				t.Fatal(err)
			}
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	await := func(n int) {
		for all := false; !all; runtime.Gosched() {
			mu.Lock()
			all = len(got) >= n
			mu.Unlock()
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d bytes arrived", len(got), n)
			}
		}
	}
	await(total)
	// And then as somebody types.
	for i := range 300 {
		p.prompt <- 1
		await(total + i + 1)
	}
	cancel()
	<-given
	for i, b := range got {
		if b != byte(i) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
	if prompt == 0 {
		t.Error("nothing was given by who read it")
	}
	endBench(t, s, st)
}
