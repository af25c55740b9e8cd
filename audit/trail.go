package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"shellagent/jwtauth"
	"shellagent/seal"
)

// Sealer signs the links of the trail's chain; *[seal.Key] is one.
type Sealer interface {
	Sign(seal.Purpose, seal.Link) []byte
	Certificate() (certificate string, host jwtauth.PublicKey)
}

// Options are how a trail is kept. The zero value will do.
type Options struct {
	// Host names this host in every event.
	Host string
	// MaxFile is the size in bytes at which a file is ended; 0 means 64 MiB.
	MaxFile int64
	// Now may be nil, which means time.Now.
	Now func() time.Time
}

// Trail is the trail's end, where lines are added. It is for one goroutine at a
// time.
type Trail struct {
	dir    string
	sealer Sealer
	o      Options
	file   *os.File
	size   int64
	link   seal.Link
	buf    []byte
	late   error // of an ended file, for Sync to tell
}

// DefaultMaxFile is the size in bytes at which a file is ended.
const DefaultMaxFile = 64 << 20

// OpenTrail goes on with the trail of a folder, or begins it: mode 0700, and
// 0600 for its files. A last line that was not written whole, because the agent
// was killed or the disk full, is cut off, and an event says so.
func OpenTrail(dir string, s Sealer, o Options) (*Trail, error) {
	if o.MaxFile <= 0 {
		o.MaxFile = DefaultMaxFile
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	t := &Trail{dir: dir, sealer: s, o: o, link: seal.Start(seal.Trail, nil)}
	files, err := Files(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return t, t.begin()
	}
	if err := t.resume(files[len(files)-1]); err != nil {
		return nil, errors.Join(fmt.Errorf("audit trail: %w", err), t.Close())
	}
	return t, nil
}

// Files are a trail's files, oldest first.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	var files []string
	for _, e := range entries {
		if _, ok := firstLine(e.Name()); ok && e.Type().IsRegular() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(files) // the numbers have one width
	return files, nil
}

func fileName(n uint64) string { return fmt.Sprintf("trail-%020d.jsonl", n) }

// firstLine is the number of a file's first line, by its name.
func firstLine(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, "trail-")
	digits, ok2 := strings.CutSuffix(digits, ".jsonl")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && ok2 && err == nil && name == fileName(n)
}

// begin starts the next file.
func (t *Trail) begin() error {
	path := filepath.Join(t.dir, fileName(t.link.N+1))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	if err := syncFolder(t.dir); err != nil {
		return errors.Join(fmt.Errorf("audit trail: %w", err), f.Close(), os.Remove(path))
	}
	t.file, t.size = f, 0
	certificate, host := t.sealer.Certificate()
	err = t.write(&Event{
		Kind: TrailBegins, HostKey: host.AuthorizedKey(""), Certificate: certificate,
		Previous: b64.EncodeToString(t.link.Sum[:]),
	})
	if err != nil {
		// A file without its first line would be in the way of the next try.
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	return nil
}

// syncFolder has the disk hold a folder's names: a file whose name is lost is lost.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// resume goes on behind the last whole line of a file.
func (t *Trail) resume(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	t.file = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	last, end, err := lastLine(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t.size = end
	lost := info.Size() - end
	if lost > 0 {
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	if last == nil { // not even the first line is whole
		n, _ := firstLine(filepath.Base(path))
		return t.resumeBefore(n, path)
	}
	l, err := parseLine(last)
	if err != nil {
		return fmt.Errorf("%s: its last line: %w; move the file away to begin a new trail", path, err)
	}
	t.link = l.link
	if bytes.Contains(l.object, []byte(`"event":"`+string(TrailContinues)+`"`)) { // killed before the next file was there
		if err := f.Close(); err != nil {
			return err
		}
		return t.begin()
	}
	if lost > 0 {
		return t.Append(&Event{Kind: TrailRepaired, Error: fmt.Sprintf("%d bytes of a line that was not whole are cut off", lost)})
	}
	return nil
}

// resumeBefore goes on behind the file before an empty one.
func (t *Trail) resumeBefore(n uint64, path string) error {
	if err := errors.Join(t.file.Close(), os.Remove(path)); err != nil {
		return err
	}
	files, err := Files(t.dir)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		if n != 1 {
			return fmt.Errorf("%s is empty, and the file before it is gone; move it away to begin a new trail", path)
		}
		return t.begin()
	}
	return t.resume(files[len(files)-1])
}

// lastLine returns the last whole line of a file, without its newline, and where
// it ends; nil and 0 when there is none.
func lastLine(f io.ReaderAt, size int64) (last []byte, end int64, err error) {
	const window = maxEvent + 4096
	start := max(0, size-2*window)
	b := make([]byte, size-start)
	if _, err := f.ReadAt(b, start); err != nil && err != io.EOF {
		return nil, 0, err
	}
	stop := bytes.LastIndexByte(b, '\n')
	if stop < 0 {
		if start > 0 {
			return nil, 0, ErrLine
		}
		return nil, 0, nil
	}
	from := bytes.LastIndexByte(b[:stop], '\n') + 1
	return b[from:stop], start + int64(stop) + 1, nil
}

// Append adds events, in one write. Each gets its version, its host and, unless
// it has one, its time. After an error none of them is in the trail, and the
// same call may be tried again.
func (t *Trail) Append(events ...*Event) error {
	if t.file == nil {
		return errors.New("audit trail: it is closed")
	}
	if err := t.write(events...); err != nil {
		return err
	}
	t.rotateIfFull()
	return nil
}

func (t *Trail) write(events ...*Event) error {
	link, b := t.link, t.buf[:0]
	for _, e := range events {
		e.Version, e.Host = Version, t.o.Host
		if e.Time.IsZero() {
			e.Time = t.o.Now()
		}
		e.Time = e.Time.UTC().Truncate(time.Microsecond)
		object, err := e.encode()
		if err != nil {
			return fmt.Errorf("audit trail: %w", err)
		}
		link = link.Next(object)
		b = appendLine(b, object, link, t.sealer.Sign(seal.Trail, link))
	}
	if cap(b) <= 1<<20 {
		t.buf = b
	}
	if _, err := t.file.Write(b); err != nil {
		return errors.Join(fmt.Errorf("audit trail: %w", err), t.file.Truncate(t.size))
	}
	t.link, t.size = link, t.size+int64(len(b))
	return nil
}

// rotateIfFull ends a file that is large enough and begins the next. A file that
// cannot be begun is tried again with the next line. No error of it is the
// caller's: what it asked for is written, and would be written again.
func (t *Trail) rotateIfFull() {
	if t.size < t.o.MaxFile {
		return
	}
	full, link, size := t.file, t.link, t.size
	if err := t.write(&Event{Kind: TrailContinues}); err != nil {
		return
	}
	// Before the next file is there: nobody who reads that one asks for this one again.
	late := full.Sync()
	if err := t.begin(); err != nil {
		t.file, t.link, t.size = full, link, size
		_ = full.Truncate(size)
		return
	}
	t.late = errors.Join(t.late, late, full.Close())
}

// Sync has the disk hold what was appended. It is an error too when it does not
// hold a file that was ended since the last call.
func (t *Trail) Sync() error {
	err := errors.Join(t.late, t.file.Sync())
	t.late = nil
	return err
}

// Link is the chain's last one.
func (t *Trail) Link() seal.Link { return t.link }

// Close ends the appending; the trail can be opened again.
func (t *Trail) Close() error {
	if t.file == nil {
		return nil
	}
	err := errors.Join(t.Sync(), t.file.Close())
	t.file = nil
	return err
}
