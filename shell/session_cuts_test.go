package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// A client whose connection is cut at any moment, that repeats what may have
// been lost, gets every byte once and the exit once; so does the program.
func TestCutsLoseNothing(t *testing.T) {
	for seed := range uint64(12) {
		onStage(t, func(cfg *SessionConfig, _ *fakeProgram) { cfg.Backlog = 20 << 10 }, func(g *stage) {
			rng := rand.New(rand.NewPCG(seed, 5))
			down, up := make([]byte, 300<<10), make([]byte, 200<<10)
			for i := range down {
				down[i] = byte(rng.Uint32())
			}
			copy(up, down[17:])
			read := make(chan []byte, 1)
			go func() {
				got, _ := io.ReadAll(g.program.in.r)
				read <- got
			}()
			go func() {
				for rest := down; len(rest) > 0; {
					n := min(len(rest), 1+int(rest[0])*40)
					_, _ = g.program.out.w.Write(rest[:n])
					rest = rest[n:]
				}
				read <- <-read // the program ends when it has read everything
				g.program.end(Exit{Code: 9})
			}()
			sent := make(chan error, 1)
			go func() { sent <- g.sendWithRepeats(up, seed) }()
			got, exits := g.readWithCuts(rng)
			if !bytes.Equal(got, down) {
				g.Errorf("seed %d: %d bytes came down, %d were written, or others", seed, len(got), len(down))
			}
			if exits != 1 {
				g.Errorf("seed %d: %d exits", seed, exits)
			}
			if err := <-sent; err != nil {
				g.Errorf("seed %d: input: %v", seed, err)
			}
			if !bytes.Equal(<-read, up) {
				g.Errorf("seed %d: the program read something else", seed)
			}
		})
	}
}

// readWithCuts reads to the exit over many connections.
func (g *stage) readWithCuts(rng *rand.Rand) (got []byte, exits int) {
	var at uint64
	for exits == 0 {
		st, err := g.Attach(key, home, at)
		if err != nil {
			g.Fatal(err)
		}
		buf := make([]byte, 1+rng.IntN(9000))
		for range rng.IntN(6) {
			ctx, cancel := context.WithTimeout(g.Context(), time.Second)
			f, err := st.Next(ctx, buf)
			cancel()
			if err != nil {
				break
			}
			if rng.IntN(5) == 0 {
				break // the frame was lost on its way
			}
			if at+f.Type.Width(len(f.Data)) != f.End {
				g.Fatalf("%v of %d bytes from %d to %d", f.Type, len(f.Data), at, f.End)
			}
			switch at = f.End; f.Type {
			case FrameStdout:
				got = append(got, f.Data...)
			case FrameExit:
				exits++
			}
		}
		if exits == 0 && rng.IntN(2) == 0 {
			g.ack(at)
		}
		if rng.IntN(2) == 0 {
			st.Close()
		}
	}
	g.ack(at)
	return got, exits
}

// sendWithRepeats sends input in pieces, some of them more than once.
func (g *stage) sendWithRepeats(up []byte, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 6))
	var at uint64
	for at < uint64(len(up)) {
		from := at - min(at, uint64(rng.IntN(3)*rng.IntN(2000)))
		to := min(uint64(len(up)), at+uint64(rng.IntN(20000)))
		next, err := g.Stdin(g.Context(), key, Stdin{Offset: from, Data: up[from:to], EOF: to == uint64(len(up))})
		if err != nil {
			g.HangUp("its input failed")
			return err
		}
		if next < at || next > uint64(len(up)) {
			return errors.New("the next offset is wrong")
		}
		if rng.IntN(4) > 0 { // else the answer was lost
			at = next
		}
	}
	return nil
}
