package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"shellagent/internal/copying"
	"shellagent/internal/terminal"
)

// report is what a person, or a program, is told of a copy.
type report struct {
	s      *surroundings
	asJSON bool
	begin  time.Time
	stop   chan struct{}
	ticks  sync.WaitGroup

	moved, resumed      atomic.Int64
	files, bytes        atomic.Int64 // that are expected; 0 while that is not known
	did                 [copying.Unchanged + 1]atomic.Int64
	problems, warnings  atomic.Int64
	moving              atomic.Pointer[string]
	mu                  sync.Mutex
	from, to            place
	previousF, previous int64 // expected of the places before
}

var _ copying.Observer = (*report)(nil)

func newReport(s *surroundings, asJSON bool) *report {
	return &report{s: s, asJSON: asJSON, begin: time.Now(), stop: make(chan struct{})}
}

// wanted says whether somebody looks on, and begins to show them.
func (p *report) wanted(quiet bool) bool {
	switch {
	case p.asJSON:
		p.ticks.Go(func() { p.tick(time.Second, func() { p.line(p.progress("progress")) }) })
	case !quiet && terminal.Is(p.s.stderr) && p.s.getenv("TERM") != "dumb" && p.s.getenv("TERM") != "":
		bar := &bar{report: p}
		p.ticks.Go(func() { p.tick(200*time.Millisecond, bar.draw) })
	default:
		return false
	}
	return true
}

func (p *report) tick(every time.Duration, do func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			do()
		case <-p.stop:
			return
		}
	}
}

func (p *report) sides(from, to place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from, p.to = from, to
	p.previousF, p.previous = p.files.Load(), p.bytes.Load()
}

// Expected implements [copying.Observer].
func (p *report) Expected(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files.Store(p.previousF + files)
	p.bytes.Store(p.previous + bytes)
}

// Moving implements [copying.Observer].
func (p *report) Moving(path string) { p.moving.Store(&path) }

// Moved implements [copying.Observer].
func (p *report) Moved(n int64) { p.moved.Add(n) }

// Resumed implements [copying.Observer].
func (p *report) Resumed(n int64) { p.resumed.Add(n) }

// Did implements [copying.Observer].
func (p *report) Did(o copying.Outcome) { p.did[o].Add(1) }

// Problem implements [copying.Observer].
func (p *report) Problem(side copying.Side, path, text string, warning bool) {
	p.mu.Lock()
	at, name := p.from, "from"
	if side == copying.Receiving {
		at, name = p.to, "to"
	}
	p.mu.Unlock()
	if warning {
		p.warnings.Add(1)
	} else {
		p.problems.Add(1)
	}
	switch shown := at.shown(shownPath(path)) + ": " + text; {
	case p.asJSON:
		p.line(problemLine(name, at.address, path, text, warning))
	case warning:
		p.s.ui.warn("%s", shown)
	default:
		p.s.ui.line(shown)
	}
}

func problemLine(side, address, path, text string, warning bool) any {
	line := struct {
		Type    string `json:"type"`
		Side    string `json:"side"`
		Address string `json:"address,omitempty"`
		Path    string `json:"path"`
		Bytes   string `json:"pathBase64,omitempty"`
		Text    string `json:"text"`
		Warning bool   `json:"warning"`
	}{"problem", side, address, path, "", text, warning}
	if !utf8.ValidString(path) {
		line.Bytes = base64.StdEncoding.EncodeToString([]byte(path))
	}
	return line
}

// counts are a copy's numbers so far.
type counts struct {
	Type     string  `json:"type"`
	Version  int     `json:"version"`
	OK       *bool   `json:"ok,omitempty"`
	Error    string  `json:"error,omitempty"`
	Files    int64   `json:"files"`
	Dirs     int64   `json:"directories"`
	Links    int64   `json:"links"`
	Same     int64   `json:"unchanged"`
	Bytes    int64   `json:"bytes"`
	Resumed  int64   `json:"resumedBytes"`
	AllFiles int64   `json:"expectedFiles,omitempty"`
	AllBytes int64   `json:"expectedBytes,omitempty"`
	Problems int64   `json:"problems"`
	Warnings int64   `json:"warnings"`
	Seconds  float64 `json:"seconds"`
}

func (p *report) progress(kind string) counts {
	return counts{
		Type: kind, Version: 1, Files: p.did[copying.CopiedFile].Load(), Dirs: p.did[copying.CopiedDir].Load(),
		Links: p.did[copying.CopiedLink].Load(), Same: p.did[copying.Unchanged].Load(), Bytes: p.moved.Load(), Resumed: p.resumed.Load(),
		AllFiles: p.files.Load(), AllBytes: p.bytes.Load(), Problems: p.problems.Load(), Warnings: p.warnings.Load(),
		Seconds: float64(time.Since(p.begin).Round(time.Millisecond)) / float64(time.Second),
	}
}

func (p *report) line(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.s.stdout.Write(append(data, '\n'))
}

// began says whether anything was copied.
func (p *report) began() bool {
	return p.moved.Load() > 0 || p.did[copying.CopiedFile].Load() > 0 || p.did[copying.CopiedDir].Load() > 0
}

// end shows the result, and says whether something was not copied.
func (p *report) end(err error) (failed bool) {
	close(p.stop)
	p.ticks.Wait()
	failed = p.problems.Load() > 0
	if p.asJSON {
		c := p.progress("result")
		ok := err == nil && !failed
		c.OK = &ok
		if err != nil {
			c.Error = err.Error()
		}
		p.line(c)
		return failed
	}
	p.s.ui.undraw()
	if terminal.Is(p.s.stderr) && err == nil {
		p.s.ui.note("%s", p.summary())
	}
	if failed {
		p.s.ui.note("%s could not be copied", plural(int(p.problems.Load()), "thing", "things"))
	}
	return failed
}

func (p *report) summary() string {
	took := time.Since(p.begin)
	n := p.moved.Load()
	text := fmt.Sprintf("%s, %s in %s (%s/s)", plural(int(p.did[copying.CopiedFile].Load()), "file", "files"), size(n), shortTime(took), size(int64(float64(n)/took.Seconds())))
	if same := p.did[copying.Unchanged].Load(); same > 0 {
		text += fmt.Sprintf("; %d unchanged", same)
	}
	if had := p.resumed.Load(); had > 0 {
		text += fmt.Sprintf("; %s were there", size(had))
	}
	return text
}
