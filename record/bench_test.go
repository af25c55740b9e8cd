package record_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"shellagent/record"
	"shellagent/shell"
)

// processor is the time that this process has used of processors.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOutput is what recording takes of a processor: of output as fast as it
// is taken, and of as much of it as is compressed (rate, in MB/s).
func BenchmarkOutput(b *testing.B) {
	sources, err := os.ReadFile("record_test.go")
	if err != nil {
		b.Fatal(err)
	}
	var numbers []byte
	for i := range 40_000 {
		numbers = fmt.Appendf(numbers, "%d\n", 1_000_000+i)
	}
	noise := make([]byte, 256<<10)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		text []byte
	}{
		{"sources", bytes.Repeat(sources, 256<<10/len(sources))}, {"numbers", numbers[:256<<10]},
		{"noise", noise}, {"yes", bytes.Repeat([]byte("y\n"), 128<<10)},
	} {
		for _, to := range [][]age.Recipient{nil, {identity.Recipient()}} {
			for _, rate := range []int{0, 1} {
				b.Run(fmt.Sprintf("%s/recipients=%d/rate=%d", c.name, len(to), rate), func(b *testing.B) {
					output(b, c.text, record.Options{Recipients: to}, rate)
				})
			}
		}
	}
}

func output(b *testing.B, text []byte, o record.Options, rate int) {
	f := newFixture(b)
	path := filepath.Join(b.TempDir(), "x")
	w, err := record.Create(path, header(), f.key, o)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abandon()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	before, at := processor(b), time.Duration(0)
	for b.Loop() {
		if rate > 0 {
			at += time.Duration(len(text)) * time.Second / time.Duration(rate*1_000_000)
		}
		if err := w.Output(at, shell.FrameStdout, text); err != nil {
			b.Fatal(err)
		}
	}
	total := float64(len(text)) * float64(b.N)
	b.ReportMetric((processor(b)-before).Seconds()/total*1e9, "cpu-s/GB")
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(total/float64(info.Size()), "times-smaller")
}
