package cli

import (
	"fmt"
	"io"
	"time"

	"shellagent/internal/copying"
	"shellagent/internal/terminal"
)

// bar is a line that shows how a copy goes, drawn by one goroutine.
type bar struct {
	report *report
	steps  []step // of the last seconds
	done   int64  // files when it was drawn
}

// step is how much had gone by at a moment.
type step struct {
	at    time.Time
	bytes int64
}

// rateOver is how far back a rate looks.
const rateOver = 5 * time.Second

func (b *bar) draw() {
	p, now := b.report, time.Now()
	b.steps = append(b.steps, step{now, p.moved.Load()})
	for len(b.steps) > 2 && now.Sub(b.steps[0].at) > rateOver {
		b.steps = b.steps[1:]
	}
	// Nothing is drawn over the questions that come before anything is copied, nor
	// over a word about a connection that is lost.
	if !p.began() && p.files.Load() == 0 {
		return
	}
	if n := len(b.steps); n > 1 && b.steps[n-1].bytes == b.steps[n-2].bytes && b.done == p.done() {
		return
	}
	b.done = p.done()
	p.s.ui.redraw(b.text(now, int(terminal.SizeOf(p.s.stderr).Cols)))
}

// done is how many files are where they belong.
func (p *report) done() int64 {
	return p.did[copying.CopiedFile].Load() + p.did[copying.Unchanged].Load()
}

// rate is in bytes per second.
func (b *bar) rate(now time.Time) float64 {
	first := b.steps[0]
	if took := now.Sub(first.at).Seconds(); took > 0 {
		return float64(b.steps[len(b.steps)-1].bytes-first.bytes) / took
	}
	return 0
}

func (b *bar) text(now time.Time, columns int) string {
	p := b.report
	had := p.moved.Load() + p.resumed.Load()
	rate := b.rate(now)
	all, files := p.bytes.Load(), p.files.Load()
	done := p.done()
	var text string
	if files == 0 {
		text = fmt.Sprintf("%s  %s  %s/s", plural(int(done), "file", "files"), size(had), size(int64(rate)))
	} else {
		percent := 100
		if all > 0 {
			percent = int(min(100, 100*had/all))
		}
		text = fmt.Sprintf("%3d%%  %s of %s  %d of %s  %s/s", percent, size(had), size(all), done, plural(int(files), "file", "files"), size(int64(rate)))
		if left := float64(all - had); left > 0 && rate > 0 && p.did[copying.Unchanged].Load() == 0 {
			text += "  " + shortTime(time.Duration(left/rate*float64(time.Second))) + " left"
		}
	}
	if moving := p.moving.Load(); moving != nil {
		if room := columns - len(text) - 4; room > 8 {
			text += "  " + shortened(shownPath(*moving), room)
		}
	}
	return text
}

// shortened keeps the end of a path.
func shortened(path string, room int) string {
	runes := []rune(path)
	if len(runes) <= room {
		return path
	}
	return "…" + string(runes[len(runes)-room+1:])
}

// size is a number of bytes with three digits or so.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", max(0, n))
	}
	f := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f /= 1024; f < 999.5 || unit == "TiB" {
			if f < 9.95 {
				return fmt.Sprintf("%.1f %s", f, unit)
			}
			return fmt.Sprintf("%.0f %s", f, unit)
		}
	}
	return ""
}

func shortTime(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	case d < 100*time.Hour:
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return "days"
}

// redraw shows a line at the terminal's cursor, in place of the one before.
func (u *ui) redraw(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drawn = true
	_, _ = io.WriteString(u.out, saveCursor+noWrap+clean(text)+eraseLine+wrap+restoreCursor)
}
