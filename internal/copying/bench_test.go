//go:build unix

package copying

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// processorTime is what this process has used so far, which a machine that others
// use changes less than the time on the clock.
func processorTime() time.Duration {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// switches is how often its threads have waited.
func switches() int64 {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return use.Nvcsw
}

func benchmark(b *testing.B, bytes int64, from string) {
	to := filepath.Join(b.TempDir(), "to")
	b.SetBytes(bytes)
	before, switched := processorTime(), switches()
	for b.Loop() {
		p := newPair(b)
		done := make(chan error, 1)
		go func() { done <- Serve(b.Context(), p.toServer[0], p.fromServer[1], everywhere("/")) }()
		peer, err := AskToReceive(p.fromServer[0], p.toServer[1], to, Options{})
		if err == nil {
			err = peer.Send(b.Context(), Everywhere{}, []string{from + "/."}, unobserved{})
		}
		if werr := <-done; err != nil || werr != nil {
			b.Fatal(err, werr)
		}
		p.close()
	}
	b.ReportMetric(float64(switches()-switched)/float64(b.N), "switches/op")
	b.ReportMetric(float64((processorTime()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// Both sides in one process: what one large file and many small ones cost.
func BenchmarkLarge(b *testing.B) {
	from := b.TempDir()
	f, err := os.Create(from + "/large")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := noise(1, 1<<20)
	for range 512 {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	benchmark(b, 512<<20, from)
}

func BenchmarkSmall(b *testing.B) {
	from := b.TempDir()
	for i := range 5000 {
		name := fmt.Sprintf("%s/%d/%d", from, i/100, i)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, noise(int64(i), i%8192), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	benchmark(b, 5000*4096, from)
}
