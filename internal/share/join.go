package share

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"shellagent/internal/rawio"
	"shellagent/shell"
)

var (
	// ErrVersion says that a holder is of another version.
	ErrVersion = errors.New("the shared connection is held by another version of the program")
	// ErrNobody says that nobody holds a connection at a place.
	ErrNobody = errors.New("there is no shared connection")
	// ErrUntouched says that a holder went away before it asked the agent for
	// anything: asking another one, or the agent itself, repeats nothing.
	ErrUntouched = errors.New("the holder of the shared connection went away")
	// ErrHolderGone says that a holder went away under a session.
	ErrHolderGone = errors.New("the process that held the shared connection is gone")
)

// StartError says that what [Start] started ended before it listened, with the
// exit code, after saying why on standard error.
type StartError struct{ Code int }

// Error implements error.
func (e *StartError) Error() string {
	return fmt.Sprintf("what should hold the shared connection ended with %d", e.Code)
}

// answerTime is how long a holder may take to say that it has heard, which
// costs it nothing.
const answerTime = 5 * time.Second

// Conn is a guest's connection to a holder. It is good for one question.
type Conn struct {
	unix net.Conn
	in   *bufio.Reader
	// PID is the holder's.
	PID int
}

// Dial connects to the holder of a place, which must be of this user. Without
// one it fails with [ErrNobody].
func Dial(p Place) (*Conn, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: p.Socket, Net: "unix"})
	if isAbsent(err) {
		return nil, fmt.Errorf("%s: %w", p.Socket, ErrNobody)
	}
	if err != nil {
		return nil, err
	}
	pid, err := checkPeer(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	prompt := rawio.NewConn(c)
	return &Conn{unix: prompt, in: bufio.NewReaderSize(prompt, 64<<10), PID: pid}, nil
}

// Join is [Dial], but has start start a holder where there is none. Whoever joins
// at the same time waits for it. lock is to be inherited by what is started, and
// closed there once it listens: nobody else starts one before.
func Join(ctx context.Context, p Place, start func(ctx context.Context, lock *os.File) error) (*Conn, error) {
	c, err := Dial(p)
	if !errors.Is(err, ErrNobody) {
		return c, err
	}
	lock, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if c, err := Dial(p); !errors.Is(err, ErrNobody) {
		return c, err
	}
	if err := start(ctx, lock); err != nil {
		return nil, err
	}
	return Dial(p)
}

// Close ends the connection.
func (c *Conn) Close() { c.unix.Close() }

// ask sends the greeting and the first message, in one piece, and reads the other
// side's greeting.
func (c *Conn) ask(a Ask) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if len(body) > maxMessage {
		return fmt.Errorf("%w: what is asked takes %d bytes", errMessage, len(body))
	}
	_ = c.unix.SetDeadline(time.Now().Add(answerTime))
	text := append([]byte(greeting), appendHead(nil, kindAsk, len(body))...)
	if _, err := c.unix.Write(append(text, body...)); err != nil && !isLeft(err) {
		return err
	}
	if err := readGreeting(c.in); err != nil {
		return untouched(err)
	}
	return nil
}

// untouched is an error of the time before [kindBegun].
func untouched(err error) error {
	if errors.Is(err, ErrVersion) || errors.Is(err, errMessage) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUntouched, err)
}

// Status asks what the holder does, or has it stop; see [Do].
func (c *Conn) Status(do Do) (Status, error) {
	defer c.Close()
	if err := c.ask(Ask{Do: do}); err != nil {
		return Status{}, err
	}
	return statusOf(receive(c.in, nil))
}

// statusOf reads what was received as the status that was asked for.
func statusOf(k kind, data []byte, err error) (s Status, _ error) {
	switch {
	case err != nil:
		return s, untouched(err)
	case k == kindFailed:
		return s, failureOf(data)
	case k != kindStatus:
		return s, errMessage
	}
	return s, parseJSON(data, &s)
}

// Listening says who is told what a holder says besides a session's output. Its
// functions are called from one goroutine and must not block.
type Listening struct {
	Said   func(level Level, text string)
	Outage func(over bool)
}

// Open opens a session through the holder. It closes the connection when it
// fails: with [ErrUntouched] or [ErrVersion] when nothing has happened yet, with a
// *[Failure] when the agent or the holder refused. ctx bounds the opening only.
func (c *Conn) Open(ctx context.Context, a Ask, to Listening) (*Remote, error) {
	r, err := c.open(ctx, a, to)
	if err != nil {
		c.Close()
		return nil, err
	}
	return r, nil
}

func (c *Conn) open(ctx context.Context, a Ask, to Listening) (*Remote, error) {
	a.Do = DoOpen
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := c.ask(a); err != nil {
		return nil, err
	}
	begun := false
	for {
		k, data, err := receive(c.in, nil)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && !begun:
			return nil, untouched(err)
		case err != nil:
			return nil, gone(err)
		}
		switch k {
		case kindBegun:
			begun = true
			// How long an opening takes is the holder's to bound: a key may ask somebody.
			_ = c.unix.SetDeadline(time.Time{})
		case kindSaid, kindOutage:
			if err := to.hear(k, data); err != nil {
				return nil, err
			}
		case kindFailed:
			return nil, failureOf(data)
		case kindOpened:
			var info shell.SessionInfo
			if err := parseJSON(data, &info); err != nil {
				return nil, err
			}
			return newRemote(c, info, to), nil
		default:
			return nil, errMessage
		}
	}
}

func (to Listening) hear(k kind, data []byte) error {
	if k == kindOutage {
		to.Outage(isYes(data))
		return nil
	}
	var s saying
	if err := parseJSON(data, &s); err != nil {
		return err
	}
	to.Said(s.Level, s.Text)
	return nil
}

func isYes(data []byte) bool { return len(data) == 1 && data[0] == 1 }

func failureOf(data []byte) error {
	f := &Failure{}
	if err := parseJSON(data, f); err != nil {
		return err
	}
	return f
}

// gone says that a holder went away, unless it broke the protocol.
func gone(err error) error {
	if errors.Is(err, errMessage) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || isLeft(err) {
		return ErrHolderGone
	}
	return fmt.Errorf("%w: %w", ErrHolderGone, err)
}
