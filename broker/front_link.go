package broker

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Descriptors of a front, as [Front] starts it.
const (
	FrontControlFD  = 3 // the control socket
	FrontListenerFD = 4 // the first listening socket
)

// FrontLink is the front's end of the control socket. Its methods are safe for
// concurrent use, but for [FrontLink.Setup] and [FrontLink.Run], which are
// called once each, in this order.
type FrontLink struct {
	conn *net.UnixConn

	mu      sync.Mutex
	waiting []chan *net.UnixConn // callers of Dial, in the order of their requests
	gone    bool
	refused map[refusals]uint32 // key without its count
}

// NewFrontLink takes over the control socket.
func NewFrontLink(control *os.File) (*FrontLink, error) {
	conn, err := unixConn(control)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &FrontLink{conn: conn, refused: make(map[refusals]uint32)}, nil
}

// Setup waits for the first message.
func (l *FrontLink) Setup() (Setup, error) {
	var s Setup
	b := make([]byte, 1+maxControl)
	l.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := l.conn.Read(b)
	if err != nil {
		return s, fmt.Errorf("control socket: %w", err)
	}
	l.conn.SetReadDeadline(time.Time{})
	if n == 0 || controlKind(b[0]) != controlSetup {
		return s, fmt.Errorf("control socket: setup expected: %w", errCodec)
	}
	return s, json.Unmarshal(b[1:n], &s)
}

// Ready tells the broker that the front serves.
func (l *FrontLink) Ready() error { return l.send(controlReady, nil) }

// RequestLeaf asks for a leaf for the key; the answer is an event.
func (l *FrontLink) RequestLeaf(key *ecdsa.PublicKey) error {
	point, err := key.Bytes()
	if err != nil {
		return err
	}
	return l.send(controlLeafRequest, point)
}

func (l *FrontLink) send(kind controlKind, payload []byte) error {
	b, err := controlMessage(kind, payload)
	if err != nil {
		return err
	}
	_, err = l.conn.Write(b)
	return err
}

var (
	errBrokerGone = errors.New("the broker is gone")
	errNoRoom     = errors.New("the broker has no room for another connection")
)

// Dial asks the broker for a connection; see [NewCallClient]. Connections are
// all alike, so an answer goes to whoever waits.
func (l *FrontLink) Dial(ctx context.Context) (*net.UnixConn, error) {
	answer := make(chan *net.UnixConn, 1)
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return nil, errBrokerGone
	}
	l.waiting = append(l.waiting, answer)
	l.mu.Unlock()
	if err := l.send(controlDial, nil); err != nil {
		l.giveUp(answer)
		return nil, errBrokerGone
	}
	select {
	case conn, ok := <-answer:
		if !ok {
			return nil, errBrokerGone
		}
		if conn == nil {
			return nil, errNoRoom
		}
		return conn, nil
	case <-ctx.Done():
		l.giveUp(answer)
		return nil, ctx.Err()
	}
}

// giveUp stops waiting. When the answer is already on its way it is closed.
func (l *FrontLink) giveUp(answer chan *net.UnixConn) {
	l.mu.Lock()
	n := len(l.waiting)
	l.waiting = without(l.waiting, answer)
	waited := len(l.waiting) < n
	l.mu.Unlock()
	if waited {
		return
	}
	if conn := <-answer; conn != nil {
		conn.Close()
	}
}

// answer hands the next waiting caller its connection, or nil.
func (l *FrontLink) answer(conn *net.UnixConn) {
	var next chan *net.UnixConn
	l.mu.Lock()
	if len(l.waiting) > 0 {
		next = l.waiting[0]
		l.waiting = l.waiting[1:]
	}
	l.mu.Unlock()
	switch {
	case next != nil:
		next <- conn // has room for it: each gets one answer
	case conn != nil:
		conn.Close()
	}
}
