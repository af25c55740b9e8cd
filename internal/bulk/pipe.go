package bulk

import "syscall"

const (
	// widePipe is what a pipe is made to hold once wideAfter bytes went through
	// it: who writes and who reads take turns for each filling. The kernel takes
	// the memory as it is filled.
	widePipe  = 512 << 10
	wideAfter = 1 << 20
)

// Pipe counts what goes through a file, and if that is a pipe, makes it hold
// more once it is much. Its zero value is ready. It is for one goroutine at a time.
type Pipe struct{ moved int }

// Moved counts n bytes through file.
func (p *Pipe) Moved(n int, file syscall.Conn) {
	if p.moved >= wideAfter || n <= 0 {
		return
	}
	if p.moved += n; p.moved < wideAfter {
		return
	}
	if raw, err := file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { setPipeSize(fd, widePipe) })
	}
}
