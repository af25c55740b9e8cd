package broker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"shellagent/shell"
)

// callsTo is a client of a broker that h is.
func callsTo(t *testing.T, h Handler) *CallClient {
	c := NewCallClient(func(context.Context) (*net.UnixConn, error) {
		ours, theirs, err := socketPair(1) // SOCK_STREAM
		if err != nil {
			return nil, err
		}
		conn, err := unixConn(ours)
		if err != nil {
			return nil, err
		}
		go func() { _ = ServeConn(t.Context(), conn, h) }()
		return unixConn(theirs)
	}, 64)
	t.Cleanup(c.Close)
	return c
}

func TestMetricsAreTold(t *testing.T) {
	var log lockedBuffer
	var text []byte
	var fails error
	c := callsTo(t, newTelling(handlerFunc(echo), func(context.Context) ([]byte, error) { return text, fails }, slog.New(slog.NewTextHandler(&log, nil))))
	for _, size := range []int{0, 1, maxReplyBody + 1, maxMetrics} {
		text = bytes.Repeat([]byte("x"), size)
		if got, err := c.Metrics(t.Context()); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
	text = append(text, 'x')
	if _, err := c.Metrics(t.Context()); err == nil {
		t.Error("more than the bound was told")
	}
	text, fails = nil, errors.New("no metrics today")
	if _, err := c.Metrics(t.Context()); err == nil || strings.Contains(err.Error(), "today") || !strings.Contains(log.String(), "today") {
		t.Errorf("the front was told %v; log %s", err, log.String())
	}
}

// Without metrics the question is a call like any other.
func TestNoMetricsToTell(t *testing.T) {
	h := handlerFunc(func(context.Context, *shell.Call) *shell.Reply { return refusalReply(shell.ReasonRoute) })
	c := callsTo(t, newTelling(h, nil, slog.New(slog.DiscardHandler)))
	if text, err := c.Metrics(t.Context()); err == nil {
		t.Errorf("told %q", text)
	}
}

// A front that asks again and again and reads nothing holds a few texts, and
// gives their room back with its connections.
func TestTextsAreBounded(t *testing.T) {
	text := make([]byte, 4<<20) // more than a socket holds
	h := newTelling(handlerFunc(echo), func(context.Context) ([]byte, error) { return text, nil }, slog.New(slog.DiscardHandler))
	c := callsTo(t, h)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	refused := 0
	for range maxTexts + 5 {
		r, err := c.Call(ctx, &shell.Call{Method: methodMetrics, Target: "/"})
		if err != nil {
			t.Fatal(err)
		}
		if r.Stream == nil {
			refused++
		}
	}
	if refused != 5 || len(h.slots) != maxTexts {
		t.Errorf("%d were refused, %d texts are held", refused, len(h.slots))
	}
	hangUp()
	eventually(t, "their room", func() bool { return len(h.slots) == 0 })
	if got, err := c.Metrics(t.Context()); err != nil || len(got) != len(text) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A broker that dies in the middle leaves no half text that looks whole.
func TestHalfATextIsAnError(t *testing.T) {
	c := callsTo(t, handlerFunc(func(context.Context, *shell.Call) *shell.Reply {
		return &shell.Reply{Status: 200, Body: []byte("10"), Stream: toldText{bytes.NewReader([]byte("half")), func() {}}}
	}))
	if text, err := c.Metrics(t.Context()); err == nil {
		t.Errorf("told %q", text)
	}
}

// A text that panics takes no room with it.
func TestTextsThatPanic(t *testing.T) {
	fails := true
	h := newTelling(handlerFunc(echo), func(context.Context) ([]byte, error) {
		if fails {
			panic("no text")
		}
		return nil, nil
	}, slog.New(slog.DiscardHandler))
	ask := func() (r *shell.Reply) {
		defer func() { _ = recover() }()
		return h.Handle(t.Context(), &shell.Call{Method: methodMetrics})
	}
	for range maxTexts {
		ask()
	}
	fails = false
	r := ask()
	if r.Status != 200 {
		t.Fatalf("%+v", r)
	}
	_ = r.Stream.Close()
}
