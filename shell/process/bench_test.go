package process

import (
	"context"
	"testing"

	"shellagent/shell"
)

// BenchmarkStartToFirstByte is what a session waits for on the host: the start
// of a program until its first byte, and its end.
func BenchmarkStartToFirstByte(b *testing.B) {
	for _, c := range []struct {
		name     string
		noCgroup bool
		term     *shell.Terminal
	}{
		{"pipes, cgroup", false, nil},
		{"pty, cgroup", false, terminal80()},
		{"pipes, subreaper", true, nil},
		{"pty, subreaper", true, terminal80()},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newHost(b, HostConfig{NoCgroup: c.noCgroup, StateDir: b.TempDir()})
			if !c.noCgroup && h.groups == nil {
				b.Skip("needs root: no cgroup can be made here, and none was delegated")
			}
			g := command(self(b), "echo", "x")
			buf := make([]byte, 100)
			for b.Loop() {
				p, err := h.Start(context.Background(), g, c.term, Options{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Output(shell.FrameStdout).Read(buf); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				p.Wait()
				p.Close()
				b.StartTimer()
			}
		})
	}
}
