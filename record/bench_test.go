package record_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"shellagent/record"
	"shellagent/shell"
)

// BenchmarkOutput is how fast a flood of short lines is recorded.
func BenchmarkOutput(b *testing.B) {
	f := newFixture(b)
	w, err := record.Create(filepath.Join(b.TempDir(), "x"), header(), f.key, record.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abandon()
	var text []byte
	for i := 0; len(text) < 32<<10; i++ {
		text = fmt.Appendf(text, "%d\n", 1000000+i)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := w.Output(0, shell.FrameStdout, text); err != nil {
			b.Fatal(err)
		}
	}
}
