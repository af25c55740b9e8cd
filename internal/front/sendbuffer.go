package front

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// widestSend bounds what one connection over a long way may have on its way, in
// bytes: 8 MiB fill 80 MB/s at a round trip of 100 ms.
const widestSend = 8 << 20

// sendBuffer is what to ask of the kernel for a connection that sends much over
// a long way, or 0 where it gives no more than it does by itself. sys is
// /proc/sys/net, which cannot be read once the front is confined.
func sendBuffer(sys string) int {
	most, ok := lastNumber(filepath.Join(sys, "core/wmem_max"))
	own, ok2 := lastNumber(filepath.Join(sys, "ipv4/tcp_wmem"))
	// What is asked for is doubled (socket(7)); what it does by itself is not.
	if !ok || !ok2 || 2*most <= own {
		return 0
	}
	return min(most, widestSend)
}

func lastNumber(file string) (int, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.Atoi(fields[len(fields)-1])
	return n, err == nil && n >= 0
}
