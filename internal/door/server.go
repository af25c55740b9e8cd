package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the door. Whoever is let in is trusted, but may be stuck.
const (
	maxConns    = 16
	readTime    = 5 * time.Second
	writeTime   = 10 * time.Second
	handlerTime = 40 * time.Second
)

// Peer is who asks, as the kernel says.
type Peer struct {
	PID int32
	UID uint32
}

// Handler answers requests, several at once. The result is encoded as JSON. ctx
// ends with the door, or when the answer takes too long.
type Handler func(ctx context.Context, r Request, who Peer) (result any, err error)

// Door is the agent's end of the socket.
type Door struct {
	listener *net.UnixListener
	path     string
	uid      uint32 // besides root
	log      *slog.Logger
}

// Open makes the socket in the state directory, in the place of one that an
// agent before left there; the caller holds the directory's lock.
func Open(dir string, log *slog.Logger) (*Door, error) {
	path, done, err := address(dir)
	if err != nil {
		return nil, fmt.Errorf("the operator's door: %w", err)
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the operator's door: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("the operator's door: %w", err)
	}
	// The name may be one that done takes away.
	l.SetUnlinkOnClose(false)
	d := &Door{listener: l, path: filepath.Join(dir, Name), uid: uint32(os.Geteuid()), log: log}
	// Nobody else can reach it in between: the directory is closed to them.
	if err := os.Chmod(path, 0o600); err != nil {
		d.Close()
		return nil, fmt.Errorf("the operator's door: %w", err)
	}
	return d, nil
}

// Close removes the socket. Serve returns.
func (d *Door) Close() error {
	return errors.Join(os.Remove(d.path), d.listener.Close())
}

// Serve answers until ctx ends; what is asked for then is still answered.
func (d *Door) Serve(ctx context.Context, h Handler) error {
	defer context.AfterFunc(ctx, func() { d.listener.SetDeadline(time.Now()) })()
	var asked sync.WaitGroup
	defer asked.Wait()
	room := make(chan struct{}, maxConns)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := d.listener.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("the operator's door: %w", err)
		}
		asked.Go(func() {
			defer func() { <-room }()
			defer conn.Close()
			d.serve(ctx, conn, h)
		})
	}
}

// serve answers one request.
func (d *Door) serve(ctx context.Context, conn *net.UnixConn, h Handler) {
	who, err := peerOf(conn)
	if err != nil || who.UID != 0 && who.UID != d.uid {
		// The modes should have kept them out.
		d.log.Warn("somebody else knocked at the operator's door", "uid", who.UID, "pid", who.PID, "err", err)
		return
	}
	conn.SetReadDeadline(time.Now().Add(readTime))
	line, err := readLine(conn, MaxRequest)
	if err != nil {
		return
	}
	var result any
	request, err := parseRequest(line)
	if err == nil {
		result, err = d.handle(ctx, request, who, h)
	}
	conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, _ = conn.Write(encodeAnswer(result, err)) // whoever asked has gone
}

// handle calls h. A mistake in it costs an answer, not every session.
func (d *Door) handle(ctx context.Context, r Request, who Peer, h Handler) (result any, err error) {
	ctx, cancel := context.WithTimeout(ctx, handlerTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("a request at the operator's door failed", "panic", p, "stack", string(debug.Stack()))
			err = errors.New("the agent failed at this; its log says why")
		}
	}()
	return h(ctx, r, who)
}

// peerOf asks the kernel who connected.
func peerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, failed); err != nil {
		return Peer{}, err
	}
	return Peer{PID: cred.Pid, UID: cred.Uid}, nil
}

// readLine reads one line of less than limit bytes, without its end.
func readLine(conn net.Conn, limit int) ([]byte, error) {
	r := bufio.NewReaderSize(conn, 4<<10)
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, fmt.Errorf("a line is longer than %d bytes", limit)
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
