package shellhttp

import (
	"net"
	"syscall"

	"shellagent/internal/bulk"
	"shellagent/internal/rawio"
)

// bulkConn is a connection to an agent on which the records of a large request
// leave together, and on which much output is waited for in the kernel.
type bulkConn struct {
	*net.TCPConn
	raw syscall.RawConn
	in  bulk.Reader
	out bulk.Writer
}

var _ holder = (*bulkConn)(nil)

func newBulkConn(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	b := &bulkConn{TCPConn: t, raw: raw}
	r := rawio.NewConn(t)
	b.out.To = r
	b.in.From, b.in.Raw = r, raw
	return b
}

// Read implements [net.Conn].
func (b *bulkConn) Read(p []byte) (int, error) { return b.in.Read(p) }

// Write implements [net.Conn].
func (b *bulkConn) Write(p []byte) (int, error) { return b.out.Write(p) }

// Hold implements [holder].
func (b *bulkConn) Hold() { b.out.Hold() }

// Release implements [holder].
func (b *bulkConn) Release() error { return b.out.Release() }
