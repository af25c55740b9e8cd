package front

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSendBuffer: a buffer is asked for only where that is not less than what
// the kernel would give by itself.
func TestSendBuffer(t *testing.T) {
	for _, c := range []struct {
		name, most, own string
		want            int
	}{
		{"Linux's default", "212992\n", "4096\t16384\t4194304\n", 0},
		{"raised", "4194304\n", "4096\t16384\t4194304\n", 4 << 20},
		{"raised far", "1073741824\n", "4096\t16384\t4194304\n", widestSend},
		{"both raised", "4194304\n", "4096\t16384\t8388608\n", 0},
		{"not a number", "much\n", "4096\t16384\t4194304\n", 0},
		{"empty", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"core/wmem_max": c.most, "ipv4/tcp_wmem": c.own} {
				file = filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := sendBuffer(dir); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
	if got := sendBuffer(filepath.Join(t.TempDir(), "nothing")); got != 0 {
		t.Errorf("without files: %d", got)
	}
}
