package tunnel

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"shellagent/shell"
)

// Session is the session that a [Link] goes over; it reconnects by itself. Its
// methods are those of a running program: see shellhttp's Lasting.
type Session interface {
	Next(context.Context) (shell.Frame, error)
	Write([]byte) (int, error)
	CloseWrite() error
	Ack(end uint64)
	Close() error
}

// pipe is a session as the multiplexer wants a connection. Read and Write are for
// one goroutine each.
type pipe struct {
	session Session
	say     func(text string, notice bool)
	ctx     context.Context
	cancel  context.CancelFunc
	closing sync.Once
	ending  atomic.Bool // the helper's input has ended

	rest []byte // of the frame that is being read
	end  uint64 // its offset
	over chan struct{}
	err  error // why there is no more to read; set before over is closed

	mu     sync.Mutex
	begun  uint32        // the youngest stream whose beginning was written
	wanted uint32        // whose beginning somebody waits for
	gone   chan struct{} // closed when that is written
}

func newPipe(s Session, say func(string, bool)) *pipe {
	p := &pipe{session: s, say: say, over: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Read implements io.Reader. io.EOF means that the helper has ended by itself.
func (p *pipe) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		if err := p.next(); err != nil {
			p.err = err
			close(p.over)
			return 0, err
		}
	}
	n := copy(b, p.rest)
	if p.rest = p.rest[n:]; len(p.rest) == 0 {
		p.session.Ack(p.end)
	}
	return n, nil
}

func (p *pipe) next() error {
	f, err := p.session.Next(p.ctx)
	if err != nil {
		return err
	}
	switch f.Type {
	case shell.FrameStdout:
		p.rest, p.end = f.Data, f.End
		return nil
	case shell.FrameStderr:
		for line := range strings.Lines(string(f.Data)) {
			p.say(strings.TrimSpace(line), false)
		}
	case shell.FrameNotice:
		var notice shell.Notice
		if json.Unmarshal(f.Data, &notice) == nil && notice.Text != "" {
			p.say(notice.Text, true)
		}
	case shell.FrameExit:
		p.session.Ack(f.End)
		return ending(f.Data)
	}
	p.session.Ack(f.End)
	return nil
}

// ending says what the helper's exit means.
func ending(data []byte) error {
	var exit shell.Exit
	if err := json.Unmarshal(data, &exit); err != nil {
		return fmt.Errorf("the end of the forwarding: %w", err)
	}
	switch {
	case exit.Reason != "":
		return fmt.Errorf("the agent ended the forwarding: %s", exit.Reason)
	case exit.Signal != "":
		return fmt.Errorf("what forwards at the agent was ended by signal %s", exit.Signal)
	case exit.Code != 0:
		return fmt.Errorf("what forwards at the agent ended with %d", exit.Code)
	}
	return io.EOF
}

// Write implements io.Writer. It blocks while the agent takes no more. What the
// multiplexer has to say after the end is for nobody.
func (p *pipe) Write(b []byte) (int, error) {
	if p.ending.Load() {
		return len(b), nil
	}
	n, err := p.session.Write(b)
	if err == nil {
		p.wrote(b)
	}
	return n, err
}

// finish ends the helper's input and waits until it has ended by itself.
func (p *pipe) finish(ctx context.Context) error {
	p.ending.Store(true)
	if err := p.session.CloseWrite(); err != nil {
		return err
	}
	select {
	case <-p.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close hangs the helper up, unless it has ended.
func (p *pipe) Close() (err error) {
	p.closing.Do(func() {
		p.ending.Store(true)
		p.cancel()
		err = p.session.Close()
	})
	return err
}

// Parts of yamux's header: version, type, flags, a stream's number.
const (
	headerFlags  = 2
	headerStream = 4
	headerSize   = 12
	flagSYN      = 1
)

// wrote looks at what yamux writes, a frame at a time.
func (p *pipe) wrote(frame []byte) {
	if len(frame) < headerSize || binary.BigEndian.Uint16(frame[headerFlags:])&flagSYN == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = max(p.begun, binary.BigEndian.Uint32(frame[headerStream:]))
	p.tell()
}

func (p *pipe) tell() {
	if p.gone != nil && p.begun >= p.wanted {
		close(p.gone)
		p.gone = nil
	}
}

// awaitBeginning returns a channel that is closed once the beginning of a stream
// was written, and all that was sent before. It is for one goroutine.
func (p *pipe) awaitBeginning(stream uint32) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := make(chan struct{})
	p.wanted, p.gone = stream, gone
	p.tell()
	return gone
}
