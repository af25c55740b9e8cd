package copying

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// greeting is the first line of either side. The number is the version.
const greeting = "shellagent-copy 1\n"

// block is memory for content, with room for a record's header in front. Its
// owner gives it back.
type block struct {
	mem []byte
	n   int // bytes of content behind the room
}

var (
	blocks = sync.Pool{New: func() any { return &block{mem: make([]byte, recordHeader+maxData)} }}
	// files hold small ones, and are as large as those before.
	files = sync.Pool{New: func() any { return new(block) }}
)

func newBlock() *block { return blocks.Get().(*block) }

// copied is a block with what p has.
func copied(p []byte) *block {
	b := files.Get().(*block)
	if cap(b.mem) < recordHeader+len(p) {
		b.mem = make([]byte, recordHeader+len(p))
	}
	b.mem = b.mem[:recordHeader+len(p)]
	b.n = copy(b.mem[recordHeader:], p)
	return b
}

func (b *block) release() {
	if cap(b.mem) == recordHeader+maxData {
		blocks.Put(b)
		return
	}
	files.Put(b)
}

func (b *block) content() []byte { return b.mem[recordHeader : recordHeader+b.n] }

// framed is the content as a record.
func (b *block) framed() []byte {
	b.mem[0] = byte(kindData)
	putLength(b.mem, b.n)
	return b.mem[:recordHeader+b.n]
}

// reader takes records from a stream.
type reader struct {
	in      *bufio.Reader
	pulse   *pulse
	scratch []byte
}

func newReader(in io.Reader) *reader {
	p := &pulse{in: in}
	return &reader{in: bufio.NewReaderSize(p, 64<<10), pulse: p}
}

// pulse counts what comes, for others to see that something does.
type pulse struct {
	in    io.Reader
	beats atomic.Uint64
}

// Read implements [io.Reader].
func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.beats.Add(1)
	return n, err
}

// greet reads the first line.
func (r *reader) greet() error {
	var line [len(greeting)]byte
	if _, err := io.ReadFull(r.in, line[:]); err != nil {
		return fmt.Errorf("the other side said nothing: %w", ended(err))
	}
	if string(line[:]) != greeting {
		return malformed("it begins with %.40q, not %q: is one side of another version?", line[:], greeting)
	}
	return nil
}

// next returns the next record. Content comes in a block, which is the caller's
// then; everything else is valid for good.
func (r *reader) next() (record, *block, error) {
	head, err := r.in.Peek(recordHeader)
	if err != nil {
		return record{}, nil, ended(err)
	}
	k, n := kind(head[0]), int(head[1])<<16|int(head[2])<<8|int(head[3])
	_, _ = r.in.Discard(recordHeader)
	layout, known := layouts[k]
	if !known {
		return record{}, nil, malformed("record %d is not known", k)
	}
	if n > layout.max {
		return record{}, nil, malformed("record %d has %d bytes, of at most %d", k, n, layout.max)
	}
	if k == kindData {
		b := newBlock()
		b.n = n
		if _, err := io.ReadFull(r.in, b.content()); err != nil {
			b.release()
			return record{}, nil, ended(err)
		}
		return record{kind: k}, b, nil
	}
	if cap(r.scratch) < n {
		r.scratch = make([]byte, n, max(n, 1<<10))
	}
	payload := r.scratch[:n]
	if _, err := io.ReadFull(r.in, payload); err != nil {
		return record{}, nil, ended(err)
	}
	rec, err := parseRecord(k, payload)
	if err != nil || k != kindFile {
		return rec, nil, err
	}
	b := copied(rec.data)
	rec.data = nil
	return rec, b, nil
}

// errEnded says that a stream ended in the middle.
var errEnded = errors.New("the other side ended before everything was copied")

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnded
	}
	return err
}

// writer prints records to a stream, several in one write. It may be used by
// several goroutines.
type writer struct {
	mu   sync.Mutex
	out  *bufio.Writer
	buf  []byte
	fail error
}

func newWriter(out io.Writer) *writer { return &writer{out: bufio.NewWriterSize(out, 64<<10)} }

// put prints records. The last error stays.
func (w *writer) put(records ...*record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range records {
		w.buf = r.append(w.buf[:0])
		w.write(w.buf)
	}
	return w.fail
}

// raw writes records that are printed already.
func (w *writer) raw(p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(p)
	return w.fail
}

func (w *writer) write(p []byte) {
	if w.fail == nil {
		_, w.fail = w.out.Write(p)
	}
}

func (w *writer) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail == nil {
		w.fail = w.out.Flush()
	}
	return w.fail
}
