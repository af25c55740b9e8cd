package handover

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const magic = "shellagent state"

// kind is the first byte of a record.
type kind byte

const (
	kindEnd   kind = 0
	kindJSON  kind = 1
	kindBytes kind = 2
)

const (
	prefixSize = len(magic) + 4
	recordSize = 1 + 8
	endSize    = recordSize + sha256.Size
)

// Writer writes a state. After an error it is of no more use.
type Writer struct {
	file *os.File
	out  *bufio.Writer
	sum  hash.Hash
}

// Create makes an empty file in memory. It is closed on exec.
func Create() (*Writer, error) {
	fd, err := unix.MemfdCreate("shellagent-state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "state")
	w, err := newWriter(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	w.file = f
	return w, nil
}

func newWriter(to io.Writer) (*Writer, error) {
	w := &Writer{sum: sha256.New()}
	w.out = bufio.NewWriterSize(io.MultiWriter(to, w.sum), 64<<10)
	_, err := w.out.Write(binary.BigEndian.AppendUint32([]byte(magic), Version))
	return w, err
}

// JSON writes a record with a value.
func (w *Writer) JSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return w.record(kindJSON, text)
}

// Bytes writes one record with the parts one after the other.
func (w *Writer) Bytes(parts ...[]byte) error { return w.record(kindBytes, parts...) }

func (w *Writer) record(k kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if _, err := w.out.Write(binary.BigEndian.AppendUint64([]byte{byte(k)}, uint64(n))); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	for _, p := range parts {
		if _, err := w.out.Write(p); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	return nil
}

// end writes the last record.
func (w *Writer) end() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := w.record(kindEnd, w.sum.Sum(nil)); err != nil {
		return err
	}
	return w.out.Flush()
}

// seals keep a file as it is, for whoever has it open.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL

// Seal ends the state. Nobody can change the file from here on; it is the
// caller's to close.
func (w *Writer) Seal() (*os.File, error) {
	if err := w.end(); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(w.file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal the state: %w", err)
	}
	return w.file, nil
}

// Discard gives up an unsealed state.
func (w *Writer) Discard() { _ = w.file.Close() }
