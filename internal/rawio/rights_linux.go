package rawio

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RightsReader reads a Unix stream socket that may bring a file with its bytes
// (unix(7), SCM_RIGHTS). Its zero value with Raw set is ready, for one goroutine at a
// time.
type RightsReader struct {
	// Raw is the socket's descriptor.
	Raw syscall.RawConn

	oob  [rightsRoom]byte
	try  func(fd uintptr) bool
	p    []byte
	n    int
	file int // or -1
	err  error
}

// Read is [Reader.Read]. A file that it returns came with the last of the n bytes, and
// is the caller's to close.
func (r *RightsReader) Read(p []byte) (n int, file *os.File, err error) {
	if len(p) == 0 {
		return 0, nil, nil
	}
	if r.try == nil {
		r.try = func(fd uintptr) (done bool) {
			r.n, r.file, done, r.err = receive(fd, r.p, r.oob[:])
			return done
		}
	}
	r.p, r.n, r.file, r.err = p, 0, -1, nil
	err = r.Raw.Read(r.try)
	r.p = nil
	if err == nil {
		err = r.err
	}
	if r.file >= 0 {
		file = os.NewFile(uintptr(r.file), "received")
	}
	if err == nil && r.n == 0 {
		err = io.EOF
	}
	return r.n, file, err
}

// rightsRoom is the room for one descriptor (cmsg(3), CMSG_SPACE): the kernel closes
// those that do not fit.
const rightsRoom = unix.SizeofCmsghdr + unsafe.Sizeof(uintptr(0))

// rightsOf returns the descriptor in a control message, or -1.
func rightsOf(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1
	}
	file := -1
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if file >= 0 {
				unix.Close(file)
			}
			file = fd
		}
	}
	return file
}
