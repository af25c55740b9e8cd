package handover

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Errors of [Open]; match with errors.Is.
var (
	ErrVersion = errors.New("the state is of a version that this program does not read")
	ErrDamaged = errors.New("the state is damaged")
)

// Reader reads a state record by record.
type Reader struct {
	in      *bufio.Reader
	left    int64 // bytes before the end record
	version uint32
}

// Open checks a sealed state as a whole and returns a reader of its records. The
// file's offset does not matter and is not moved, so several may read it.
func Open(f *os.File) (*Reader, error) {
	has, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || has&seals != seals {
		return nil, fmt.Errorf("%w: it is not a sealed file in memory", ErrDamaged)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return newReader(f, info.Size())
}

func newReader(r io.ReaderAt, size int64) (*Reader, error) {
	if size < int64(prefixSize+endSize) {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrDamaged, size)
	}
	prefix := make([]byte, prefixSize)
	if _, err := r.ReadAt(prefix, 0); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if string(prefix[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it is not an agent's", ErrDamaged)
	}
	version := binary.BigEndian.Uint32(prefix[len(magic):])
	if !slices.Contains(Reads, version) {
		return nil, fmt.Errorf("%w: %d, not one of %v", ErrVersion, version, Reads)
	}
	end := size - int64(endSize)
	if err := checkSum(r, end); err != nil {
		return nil, err
	}
	body := io.NewSectionReader(r, int64(prefixSize), end-int64(prefixSize))
	return &Reader{in: bufio.NewReaderSize(body, 64<<10), left: body.Size(), version: version}, nil
}

// checkSum compares the end record with what is before it.
func checkSum(r io.ReaderAt, end int64) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, end)); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	want := binary.BigEndian.AppendUint64([]byte{byte(kindEnd)}, sha256.Size)
	want = sum.Sum(want)
	got := make([]byte, endSize)
	if _, err := r.ReadAt(got, end); err != nil && err != io.EOF {
		return fmt.Errorf("state: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	return nil
}

// Version is that of the state.
func (r *Reader) Version() uint32 { return r.version }

// JSON reads a record of at most limit bytes into v. Fields that v does not have
// are an error.
func (r *Reader) JSON(v any, limit int64) error {
	n, err := r.header(kindJSON, limit)
	if err != nil {
		return err
	}
	text, err := r.take(n)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if d.More() {
		return fmt.Errorf("%w: a record has more than one value", ErrDamaged)
	}
	return nil
}

// Bytes reads a record of at most limit bytes.
func (r *Reader) Bytes(limit int64) ([]byte, error) {
	n, err := r.header(kindBytes, limit)
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

// Skip passes over a record of bytes.
func (r *Reader) Skip() error {
	n, err := r.header(kindBytes, r.left)
	if err != nil {
		return err
	}
	r.left -= n
	if _, err := io.CopyN(io.Discard, r.in, n); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// End says that there are no more records.
func (r *Reader) End() error {
	if r.left != 0 {
		return fmt.Errorf("%w: %d bytes follow the last record", ErrDamaged, r.left)
	}
	return nil
}

// header reads the start of the next record, which must be of the given kind.
func (r *Reader) header(want kind, limit int64) (n int64, err error) {
	var b [recordSize]byte
	if r.left < recordSize {
		return 0, fmt.Errorf("%w: a record is missing", ErrDamaged)
	}
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	r.left -= recordSize
	length := binary.BigEndian.Uint64(b[1:])
	if kind(b[0]) != want || length > uint64(min(r.left, limit)) {
		return 0, fmt.Errorf("%w: a record of kind %d has %d bytes", ErrDamaged, b[0], length)
	}
	return int64(length), nil
}

func (r *Reader) take(n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	r.left -= n
	return b, nil
}
