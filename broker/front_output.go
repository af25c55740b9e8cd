package broker

import (
	"bufio"
	"io"
	"log/slog"
	"strings"
	"unicode"

	"golang.org/x/time/rate"
)

// Bounds of what a front may say on its standard error.
const (
	maxOutputLine = 1 << 10 // bytes; the rest of a line is left out
	outputRate    = 20      // lines a second
	outputBurst   = 200     // enough for the trace of a crash
)

// relayOutput logs what a front writes to its standard error, a record for a
// line, until its end. The front cannot be trusted with the log itself: it
// would write other programs' records, or fill the disk.
func relayOutput(r io.ReadCloser, log *slog.Logger) {
	defer r.Close()
	in := bufio.NewReaderSize(r, maxOutputLine)
	pace := rate.NewLimiter(outputRate, outputBurst)
	dropped := 0
	whole := true // the line before ended
	for {
		line, err := in.ReadSlice('\n')
		if whole && len(line) > 0 {
			if pace.Allow() {
				log.Info("front says", "line", printable(line))
			} else {
				dropped++
			}
		}
		whole = err == nil
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	if dropped > 0 {
		log.Warn("front said too much", "lines", dropped)
	}
}

// printable returns a line without control characters.
func printable(line []byte) string {
	return strings.Map(func(c rune) rune {
		if c == '\t' {
			return ' '
		}
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, string(line))
}
