package shell

import (
	"bytes"
	"testing"
	"testing/synctest"
)

// What a person's Ctrl-C must wait for is little; what nobody looks at may be
// as much as a backlog holds.
func TestATerminalThatIsWatchedHasLittleOnItsWay(t *testing.T) {
	for _, drawn := range []bool{true, false} {
		onStage(t, func(cfg *SessionConfig, p *fakeProgram) {
			if drawn {
				cfg.Request.Terminal = &Terminal{Term: "xterm", Winsize: Winsize{Cols: 80, Rows: 24}}
				p.err = pipe{}
			}
		}, func(g *stage) {
			holds := func() int { return int(g.backlog.End()) }
			st := g.attach(0)
			go func() { _, _ = g.program.out.w.Write(bytes.Repeat([]byte("y\n"), DefaultBacklog)) }()
			synctest.Wait()
			if n := holds(); drawn != (n <= drawnWindow) || !drawn && n < DefaultBacklog*9/10 {
				g.Errorf("drawn %v: %d bytes wait for a client", drawn, n)
			}
			st.Close()
			synctest.Wait()
			if n := holds(); n < DefaultBacklog*9/10 {
				g.Errorf("drawn %v: %d bytes wait for nobody", drawn, n)
			}
			// Who comes back to more than fits reads it all, and holds the program.
			before := holds()
			g.attach(0)
			g.ack(uint64(before) / 2)
			synctest.Wait()
			if n := holds(); drawn != (n == before) {
				g.Errorf("drawn %v: %d bytes after %d", drawn, n, before)
			}
		})
	}
}
