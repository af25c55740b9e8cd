package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is a backlog told simply: everything that was ever written.
type model struct {
	data    []byte
	types   []FrameType
	sealed  bool
	tail    uint64 // what may be asked for: a holder that came late brings nothing back
	cursors []*modelCursor
	reached reached
}

// reached counts what a play came to, since a model that is never asked proves
// nothing: frames after memory was given back and taken again, gaps, exits, steps
// with cursors of both kinds that have something to read, offsets not kept.
type reached struct{ reused, gaps, exits, both, notKept int }

func (r *reached) add(o reached) {
	r.reused += o.reused
	r.gaps += o.gaps
	r.exits += o.exits
	r.both += o.both
	r.notKept += o.notKept
}

type modelCursor struct {
	c    *Cursor
	kind CursorKind
	off  uint64
	held uint64
}

func (m *model) end() uint64 {
	if m.sealed {
		return uint64(len(m.data)) + 1
	}
	return uint64(len(m.data))
}

func (m *model) floor() uint64 {
	floor := m.end()
	for _, c := range m.cursors {
		if c.kind == Holding {
			floor = min(floor, c.held)
		}
	}
	return floor
}

// playModel carries out one step per three bytes on a backlog and on the model.
func playModel(ops []byte, limit int) (reached, error) {
	b, m := NewBacklog(limit), &model{}
	defer b.Close()
	buf := make([]byte, MaxFrameData)
	for step := 0; len(ops) >= 3; step++ {
		op, x := ops[0], int(ops[1])<<8|int(ops[2])
		ops = ops[3:]
		if err := m.step(b, op, x, buf); err != nil {
			return m.reached, fmt.Errorf("step %d (%d, %d): %w", step, op, x, err)
		}
		if err := m.check(b, limit); err != nil {
			return m.reached, fmt.Errorf("after step %d (%d, %d): %w", step, op, x, err)
		}
	}
	return m.reached, nil
}

func (m *model) step(b *Backlog, op byte, x int, buf []byte) error {
	switch op % 16 {
	case 0, 1, 2, 3, 4:
		return m.write(b, FrameStdout+FrameType(op&1), 1+x%60000)
	case 5:
		return m.write(b, FrameStdout+FrameType(x&1), 1+x%9)
	case 6:
		return m.open(b, []CursorKind{Holding, Skipping, following}[x%3], uint64(x/3)*7)
	case 7: // at a place that is likely kept
		return m.open(b, []CursorKind{Holding, Skipping, following}[x%3], m.end()-min(m.end(), uint64(x)))
	case 8:
		if x%40 == 0 && !m.sealed {
			b.seal([]byte(`{"code":0}`))
			m.sealed = true
		}
		return nil
	case 9:
		if i := m.pick(x); i >= 0 && x%5 == 0 {
			m.cursors[i].c.Close()
			m.cursors = append(m.cursors[:i], m.cursors[i+1:]...)
		}
		return nil
	case 10, 11, 12:
		if i := m.pick(x); i >= 0 {
			return m.ack(m.cursors[i], x)
		}
		return nil
	default:
		if i := m.pick(x); i >= 0 {
			return m.read(m.cursors[i], buf[:1+x*4])
		}
		return nil
	}
}

func (m *model) pick(x int) int {
	if len(m.cursors) == 0 {
		return -1
	}
	return x % len(m.cursors)
}

// write reserves and commits, unless that would wait.
func (m *model) write(b *Backlog, typ FrameType, n int) error {
	if b.room() < b.step && !m.sealed {
		return nil
	}
	p, err := b.Reserve(typ)
	if m.sealed {
		if err != io.ErrClosedPipe {
			return fmt.Errorf("Reserve after the exit: %v", err)
		}
		return nil
	}
	if err != nil || len(p) == 0 {
		return fmt.Errorf("Reserve: %d bytes, %v", len(p), err)
	}
	n = min(n, len(p))
	for i := range p[:n] {
		p[i] = byte((len(m.data) + i) * 31 >> 3)
	}
	m.data = append(m.data, p[:n]...)
	for range n {
		m.types = append(m.types, typ)
	}
	b.Commit(n)
	return nil
}

func (m *model) open(b *Backlog, kind CursorKind, from uint64) error {
	if len(m.cursors) > 6 {
		return nil
	}
	c, err := b.Cursor(kind, from)
	if err != nil {
		if from <= m.end() && (kind == Skipping || from >= m.tail) {
			return fmt.Errorf("a cursor at %d was refused: %w", from, err)
		}
		m.reached.notKept++
		return nil
	}
	if from > m.end() {
		return fmt.Errorf("a cursor beyond the end at %d", from)
	}
	m.cursors = append(m.cursors, &modelCursor{c: c, kind: kind, off: from, held: from})
	return nil
}

func (m *model) ack(c *modelCursor, x int) error {
	to := min(c.held+uint64(x)*3, c.off)
	if x%50 == 0 {
		to = m.end() + 1
	}
	err := c.c.Ack(to)
	if to > m.end() {
		if !errors.Is(err, ErrOutputNotKept) {
			return fmt.Errorf("an ack beyond the end: %v", err)
		}
		return nil
	}
	c.held = max(c.held, to)
	return err
}

func (m *model) read(c *modelCursor, buf []byte) error {
	f, ok, err := c.c.take(buf)
	switch {
	case errors.Is(err, ErrOutputNotKept):
		if c.kind != following || c.off >= m.tail {
			return fmt.Errorf("cursor at %d lost what is kept from %d", c.off, m.tail)
		}
		return nil
	case err == io.EOF:
		if !m.sealed || c.off != m.end() {
			return fmt.Errorf("io.EOF at %d of %d", c.off, m.end())
		}
		return nil
	case err != nil:
		return err
	case !ok:
		if c.off != m.end() || m.sealed {
			return fmt.Errorf("nothing at %d of %d", c.off, m.end())
		}
		return nil
	}
	return m.compare(c, f, len(buf))
}

func (m *model) compare(c *modelCursor, f Frame, limit int) error {
	from := c.off
	c.off = f.End
	switch f.Type {
	case FrameGap:
		if c.kind != Skipping || f.End <= from || f.End > m.end() {
			return fmt.Errorf("gap from %d to %d", from, f.End)
		}
		m.reached.gaps++
		return nil
	case FrameExit:
		if !m.sealed || f.End != m.end() || from != f.End-1 || string(f.Data) != `{"code":0}` {
			return fmt.Errorf("exit %q from %d to %d of %d", f.Data, from, f.End, m.end())
		}
		m.reached.exits++
		return nil
	}
	if c.c.b.first > 0 {
		m.reached.reused++
	}
	if len(f.Data) == 0 || len(f.Data) > limit || from+uint64(len(f.Data)) != f.End {
		return fmt.Errorf("%d bytes from %d to %d", len(f.Data), from, f.End)
	}
	if !bytes.Equal(f.Data, m.data[from:f.End]) {
		return fmt.Errorf("wrong bytes from %d to %d", from, f.End)
	}
	for _, typ := range m.types[from:f.End] {
		if typ != f.Type {
			return fmt.Errorf("%v in a frame of %v", typ, f.Type)
		}
	}
	return nil
}

// check compares what can be seen at any time.
func (m *model) check(b *Backlog, limit int) error {
	if b.End() != m.end() {
		return fmt.Errorf("end %d, want %d", b.End(), m.end())
	}
	m.tail = max(m.tail, m.floor()-min(m.floor(), RedrawTail))
	if b.start() > m.tail || b.start() > m.floor() {
		return fmt.Errorf("kept from %d, but %d may be asked for", b.start(), m.tail)
	}
	if m.behind(Holding) && m.behind(Skipping) {
		m.reached.both++
	}
	memory := 0
	for _, g := range b.segs {
		memory += len(g.buf)
	}
	if held := int(m.end() - m.tail); memory > (max(held, limit)+RedrawTail)*5/4+recordHeader*held+3*(64<<10) {
		return fmt.Errorf("%d bytes of memory for %d of output", memory, held)
	}
	if len(b.retired) > 0 || b.copying != 0 {
		return errors.New("segments wait for a copy that is over")
	}
	return nil
}

// behind says whether a cursor of a kind has something to read.
func (m *model) behind(kind CursorKind) bool {
	return slices.ContainsFunc(m.cursors, func(c *modelCursor) bool { return c.kind == kind && c.off < m.end() })
}

func TestBacklogModel(t *testing.T) {
	var all reached
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 4))
		ops := make([]byte, 3*800)
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		limit := []int{64, 1000, 64 << 10, 1 << 20}[seed%4]
		got, err := playModel(ops, limit)
		if err != nil {
			t.Errorf("seed %d, limit %d: %v", seed, limit, err)
		}
		all.add(got)
	}
	t.Logf("%+v", all)
	if all.reused < 100 || all.gaps < 10 || all.exits < 10 || all.both < 1000 || all.notKept < 10 {
		t.Errorf("the plays came to %+v only", all)
	}
}

func FuzzBacklog(f *testing.F) {
	f.Add([]byte("\x06\x00\x00\x00\x10\x00\x0d\x00\x10\x0a\x00\x09"), uint16(1000))
	f.Add(bytes.Repeat([]byte("\x07\x00\x00\x01\xff\xff\x02\xff\xff\x0e\xff\xff\x0b\xff\xfe"), 40), uint16(0))
	f.Fuzz(func(t *testing.T, ops []byte, limit uint16) {
		if len(ops) > 6000 {
			return
		}
		if limit == 0 {
			limit = 65535
		}
		if _, err := playModel(ops, max(64, int(limit))); err != nil {
			t.Error(err)
		}
	})
}
