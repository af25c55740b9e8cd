package broker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"

	"shellagent/shell"
)

// The front serves the metrics too, since that is HTTP. It asks for their text
// with a call of its own, which no request of a client can become: those are
// GET, POST or DELETE. The answer is the text's size and the text as a stream.
const (
	methodMetrics = "METRICS"
	// maxMetrics bounds the text, in bytes: several times what the most
	// sources and subjects come to.
	maxMetrics = 16 << 20
	// maxTexts is how many texts the broker holds for the front at a time.
	maxTexts = 8
)

// telling answers the front's question for the metrics and passes on every
// other call.
type telling struct {
	Handler
	text  func(context.Context) ([]byte, error)
	slots chan struct{}
	log   *slog.Logger
}

func newTelling(h Handler, text func(context.Context) ([]byte, error), log *slog.Logger) telling {
	return telling{h, text, make(chan struct{}, maxTexts), log}
}

// Handle implements [Handler].
func (t telling) Handle(ctx context.Context, c *shell.Call) *shell.Reply {
	if c.Method != methodMetrics || t.text == nil {
		return t.Handler.Handle(ctx, c)
	}
	select {
	case t.slots <- struct{}{}:
	default:
		return refusalReply(shell.ReasonUnavailable)
	}
	free := sync.OnceFunc(func() { <-t.slots })
	answered := false
	defer func() {
		if !answered { // also by a panic, which whoever serves the call survives
			free()
		}
	}()
	text, err := t.text(ctx)
	if err == nil && len(text) > maxMetrics {
		err = fmt.Errorf("%d bytes, at most %d", len(text), maxMetrics)
	}
	if err != nil {
		t.log.Error("metrics cannot be told", "err", err)
		return refusalReply(shell.ReasonInternal)
	}
	answered = true
	return &shell.Reply{Status: 200, Body: strconv.AppendInt(nil, int64(len(text)), 10), Stream: toldText{bytes.NewReader(text), free}}
}

// toldText is a text on its way to the front.
type toldText struct {
	*bytes.Reader
	free func()
}

// Close implements [io.Closer].
func (t toldText) Close() error {
	t.free()
	return nil
}

// Metrics asks the broker for the text of its metrics. It is an error when not
// all of it came.
func (c *CallClient) Metrics(ctx context.Context) ([]byte, error) {
	reply, err := c.Call(ctx, &shell.Call{Method: methodMetrics, Target: "/"})
	if err != nil {
		return nil, err
	}
	if reply.Stream == nil {
		return nil, fmt.Errorf("the broker does not tell its metrics: %d %s", reply.Status, reply.Detail)
	}
	defer reply.Stream.Close()
	size, err := strconv.Atoi(string(reply.Body))
	if err != nil || size < 0 || size > maxMetrics {
		return nil, fmt.Errorf("metrics of %q bytes: %w", reply.Body, errCodec)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(reply.Stream, text); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return text, nil
}
