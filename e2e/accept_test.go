package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// accepting has each connection to a port of this machine answered in a goroutine
// of its own, and closed after that, at the latest when the test is over.
func accepting(t *testing.T, answer func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	over := make(chan struct{})
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answered := make(chan struct{})
			running.Go(func() { defer close(answered); answer(conn) })
			running.Go(func() {
				select {
				case <-answered:
				case <-over:
				}
				conn.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); close(over); running.Wait() })
	return portOf(l)
}

// echoing sends back what it gets.
func echoing(t *testing.T) (port int) {
	return accepting(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
