package sftpd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// Types of packets of draft-ietf-secsh-filexfer-02 §3 that matter here.
const (
	typeVersion  = 2
	typeOpen     = 3
	typeClose    = 4
	typeWrite    = 6
	typeStatus   = 101
	typeHandle   = 102
	typeName     = 104
	typeExtended = 200
	typeReply    = 201 // SSH_FXP_EXTENDED_REPLY
)

const (
	// maxPacket is what package sftp takes, and what OpenSSH's server does.
	maxPacket = 256 << 10
	// maxLooked bounds the packets that are looked into: names, not data.
	maxLooked = 64 << 10
)

// gate stands between the client and package sftp, which knows three extensions
// and none beside: it answers the others itself, adds their names to what the
// server says of itself, and passes on the rest as it is. What is appended to a
// file gets the offsets of its order here, see [appending].
//
// Read and Write are what package sftp calls: each from one goroutine at a time.
type gate struct {
	in     *bufio.Reader
	out    io.WriteCloser
	answer func(g *gate, id uint32, name string, body *fields) []byte

	pending []byte // to be read before more comes
	left    int    // of a packet that is passed on

	mu    sync.Mutex
	begun []byte   // of a packet that is written, until it is known what to do with it
	rest  int      // of one that is passed on
	later [][]byte // answers that wait for its end
	// opening are files that are asked for, by request; files those that are open.
	opening map[uint32]*opened
	files   map[string]*opened
	// unanswered counts what was passed on and is not answered; over says that
	// nobody takes answers any more.
	unanswered int
	over       bool
	changed    sync.Cond // unanswered or over
}

// opened is a file that is open, or will be.
type opened struct {
	name    string
	appends bool
	next    uint64 // what came to be appended, in bytes
}

func newGate(in io.Reader, out io.WriteCloser, answer func(*gate, uint32, string, *fields) []byte) *gate {
	g := &gate{in: bufio.NewReaderSize(in, maxLooked), out: out, answer: answer, opening: map[uint32]*opened{}, files: map[string]*opened{}}
	g.changed.L = &g.mu
	return g
}

// Close implements [io.Closer].
func (g *gate) Close() error {
	g.change(func() { g.over = true })
	return g.out.Close()
}

func (g *gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	g.changed.Broadcast()
}

// awaitAnswers returns once all is answered that was asked for: package sftp may
// end before it has written what it has.
func (g *gate) awaitAnswers() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.unanswered > 0 && !g.over {
		g.changed.Wait()
	}
}

// Read implements [io.Reader] with what the gate does not answer itself.
func (g *gate) Read(p []byte) (int, error) {
	for len(g.pending) == 0 && g.left == 0 {
		if err := g.next(); err != nil {
			g.awaitAnswers()
			return 0, err
		}
		if len(g.pending) > 0 {
			g.change(func() { g.unanswered++ })
		}
	}
	if len(g.pending) > 0 {
		n := copy(p, g.pending)
		g.pending = g.pending[n:]
		return n, nil
	}
	n, err := g.in.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// next begins a packet: it is answered here, or there is something to pass on.
func (g *gate) next() error {
	head := make([]byte, 5, 64)
	if n, err := io.ReadFull(g.in, head[:4]); err != nil {
		return cutShort(n, err)
	}
	length := int(binary.BigEndian.Uint32(head))
	if length == 0 || length > maxPacket {
		g.pending = head[:4] // which package sftp refuses
		return nil
	}
	if _, err := io.ReadFull(g.in, head[4:]); err != nil {
		return cutShort(1, err)
	}
	g.pending, g.left = head, length-1
	kind := head[4]
	if kind == typeWrite {
		return g.number()
	}
	switch known := kind == typeOpen || kind == typeClose; {
	case known && length > maxLooked:
		return errUnseen
	case !known && kind != typeExtended || length > maxLooked:
		return nil
	}
	packet := append(head, make([]byte, g.left)...)
	if _, err := io.ReadFull(g.in, packet[5:]); err != nil {
		return cutShort(1, err)
	}
	g.pending, g.left = packet, 0
	return g.look(kind, packet[5:])
}

// errUnseen ends a connection whose files the gate would not know any more.
var errUnseen = errors.New("sftp: an open or close of no client")

// cutShort tells an end within a packet from one between two.
func cutShort(n int, err error) error {
	if n > 0 && err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// look sees what a packet opens or closes, and answers what is asked for of this
// gate's extensions.
func (g *gate) look(kind byte, body []byte) error {
	f := &fields{rest: body}
	id, text := f.number(), f.text()
	if f.short {
		return nil // which package sftp refuses
	}
	switch kind {
	case typeOpen:
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.opening[id] != nil {
			return errUnseen
		}
		g.opening[id] = &opened{name: text, appends: f.number()&appends != 0}
	case typeClose:
		g.mu.Lock()
		delete(g.files, text)
		g.mu.Unlock()
	case typeExtended:
		if reply := g.answer(g, id, text, f); reply != nil {
			g.pending = nil
			return g.send(reply)
		}
	}
	return nil
}

// name returns the name that a handle was opened by.
func (g *gate) name(handle string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.files[handle]; f != nil {
		return f.name, true
	}
	return "", false
}

// send writes an answer between two packets of package sftp's.
func (g *gate) send(packet []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rest > 0 || len(g.begun) > 0 {
		g.later = append(g.later, packet)
		return nil
	}
	_, err := g.out.Write(packet)
	return err
}

// Write implements [io.Writer] for package sftp's packets, in pieces as they come.
func (g *gate) Write(p []byte) (n int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() {
		if g.over = g.over || err != nil; g.over {
			g.changed.Broadcast()
		}
	}()
	n = len(p)
	for len(p) > 0 {
		if g.rest > 0 {
			m := min(len(p), g.rest)
			if _, err := g.out.Write(p[:m]); err != nil {
				return 0, err
			}
			if p, g.rest = p[m:], g.rest-m; g.rest == 0 {
				g.unanswered--
				g.changed.Broadcast()
			}
		} else {
			g.begun, p = append(g.begun, p...), nil
			p = g.begin()
			if len(g.begun) > 0 && p == nil {
				return n, nil // more of it comes
			}
		}
		if g.rest == 0 && len(g.begun) == 0 {
			if err := g.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// begin decides what becomes of what has begun: it returns what is to be written
// now, or nil when more has to come first.
func (g *gate) begin() []byte {
	if len(g.begun) < 5 {
		return nil
	}
	length := int(binary.BigEndian.Uint32(g.begun)) + 4
	kind := g.begun[4]
	if kind == typeVersion || kind == typeHandle || kind == typeStatus {
		if len(g.begun) < length {
			return nil
		}
		packet, after := g.begun[:length], g.begun[length:]
		if kind == typeVersion {
			packet = extended(packet)
		} else {
			g.opened(kind, packet[5:])
		}
		g.begun, g.rest = nil, len(packet)
		return append(bytes.Clone(packet), after...)
	}
	whole := g.begun
	g.begun, g.rest = nil, length
	return whole
}

// opened sees which handle an open came to.
func (g *gate) opened(kind byte, body []byte) {
	f := &fields{rest: body}
	id := f.number()
	file, ok := g.opening[id]
	if !ok {
		return
	}
	delete(g.opening, id)
	if handle := f.text(); kind == typeHandle && !f.short {
		g.files[handle] = file
	}
}

func (g *gate) flush() error {
	for _, packet := range g.later {
		if _, err := g.out.Write(packet); err != nil {
			return err
		}
	}
	g.later = nil
	return nil
}
