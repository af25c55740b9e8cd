package cli

import (
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// byteRate reads 500K, 10M, 1G; "" is no limit.
func byteRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	units := map[byte]float64{'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30}
	unit, known := units[strings.ToLower(text)[len(text)-1]]
	n, err := strconv.ParseFloat(text[:len(text)-1], 64)
	if !known || err != nil || !(n*unit >= 1<<10 && n < 1<<20) {
		return 0, misuse("--bwlimit %s: give bytes per second with a unit, such as 500K, 10M or 1G", text)
	}
	return n * unit, nil
}

// pace holds what goes through its readers and writers to a rate, all together.
// Nil holds nothing.
type pace struct {
	perSecond float64
	mu        sync.Mutex
	free      time.Time // when what has gone through is paid for
}

func newPace(perSecond float64) *pace {
	if perSecond == 0 {
		return nil
	}
	return &pace{perSecond: perSecond}
}

// burst is how much may be gone through at once after a pause.
const burst = 100 * time.Millisecond

// spend waits until n bytes may have gone through.
func (p *pace) spend(n int) {
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-burst); p.free.Before(earliest) {
		p.free = earliest
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.perSecond * float64(time.Second)))
	wait := p.free.Sub(now)
	p.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
}

// step is how much goes through at once, so that nobody waits for long.
func (p *pace) step() int { return int(max(512, min(64<<10, p.perSecond/10))) }

func (p *pace) reader(r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return &pacedReader{r, p}
}

func (p *pace) writer(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return &pacedWriter{w, p}
}

type pacedReader struct {
	in   io.Reader
	pace *pace
}

// Read implements [io.Reader].
func (r *pacedReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p[:min(len(p), r.pace.step())])
	r.pace.spend(n)
	return n, err
}

type pacedWriter struct {
	out  io.Writer
	pace *pace
}

// Write implements [io.Writer].
func (w *pacedWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := w.out.Write(p[done:min(len(p), done+w.pace.step())])
		done += n
		if err != nil {
			return done, err
		}
		w.pace.spend(n)
	}
	return done, nil
}
