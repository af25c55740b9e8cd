package door

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"
)

// ErrNoAgent says that no agent runs with a state directory.
var ErrNoAgent = errors.New("no agent runs")

// ErrGone says that the connection ended without an answer: the agent did, or
// another program took over from it.
var ErrGone = errors.New("the agent went away before it answered")

// askTime is longer than the agent takes at most.
const askTime = handlerTime + 2*writeTime

// Ask sends one request to the agent with this state directory and decodes its
// answer into result. Errors are [ErrNoAgent], [ErrGone], [*Refused] for what the agent
// says, and those of the connection.
func Ask(ctx context.Context, dir string, r Request, result any) error {
	line, err := encodeRequest(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := dial(ctx, dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(line); err != nil {
		return gone(ctx, err)
	}
	text, err := readLine(conn, MaxAnswer)
	if err != nil {
		return gone(ctx, err)
	}
	return parseAnswer(text, result)
}

func dial(ctx context.Context, dir string) (net.Conn, error) {
	path, done, err := address(dir)
	if err != nil {
		return nil, explain(dir, err)
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, explain(dir, err)
	}
	return conn, nil
}

// explain says what it means that the socket cannot be reached.
func explain(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w with the state directory %s: start it (agent listen), or name its configuration with -c", ErrNoAgent, dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s belongs to the agent: ask as root, or as the user it runs as", filepath.Join(dir, Name))
	default:
		return fmt.Errorf("the agent with the state directory %s: %w", dir, err)
	}
}

func gone(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}
