package forwardd

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// frame is one of the multiplexer's, byte for byte.
func frame(kind byte, flags uint16, stream, length uint32, data ...byte) []byte {
	b := []byte{0, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	b = binary.BigEndian.AppendUint32(b, length)
	return append(b, data...)
}

const (
	frameData, frameWindow, framePing, frameAway = 0, 1, 2, 3
	syn, ack, fin, rst                           = 1, 2, 4, 8
)

func header(text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
}

func data(stream uint32, p []byte) []byte {
	return frame(frameData, 0, stream, uint32(len(p)), p...)
}

// hostile are openings that no client sends.
var hostile = map[string][]byte{
	"nothing":                       nil,
	"noise":                         bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 20),
	"another version":               {9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	"a stream of the server's":      frame(frameWindow, syn, 2, 0),
	"a stream twice":                append(frame(frameWindow, syn, 1, 0), frame(frameWindow, syn, 1, 0)...),
	"an acknowledgement of nothing": append(frame(frameWindow, syn, 1, 0), frame(frameWindow, ack, 1, 0)...),
	"data of no stream":             data(7, []byte("hello")),
	"data beyond the window":        append(frame(frameWindow, syn, 1, 0), frame(frameData, 0, 1, 1<<30)...),
	"a window without an end":       append(frame(frameWindow, syn, 1, 0xffffffff), frame(frameWindow, 0, 1, 0xffffffff)...),
	"an end in the header":          append(append(frame(frameWindow, syn, 1, 0), data(1, []byte{0, 9, '{'})...), frame(frameWindow, fin, 1, 0)...),
	"a break in the header":         append(append(frame(frameWindow, syn, 1, 0), data(1, []byte{0, 9, '{'})...), frame(frameWindow, rst, 1, 0)...),
	"a long header":                 append(frame(frameWindow, syn, 1, 0), data(1, []byte{0xff, 0xff})...),
	"a question of another kind":    append(frame(frameWindow, syn, 1, 0), data(1, header(`{"open":"file","path":"/etc/passwd"}`))...),
	"a denied question":             append(frame(frameWindow, syn, 1, 0), data(1, header(`{"open":"tcp","host":"127.0.0.1","port":1}`))...),
	"bytes before the answer":       append(frame(frameWindow, syn, 1, 0), data(1, append(header(`{"listen":"agent"}`), "early"...))...),
	"pings":                         bytes.Repeat(frame(framePing, syn, 0, 7), 200),
	"away":                          frame(frameAway, 0, 0, 2),
}

// endure has a server that allows nothing read what it is sent, up to its end.
func endure(t *testing.T, sent []byte) {
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(context.Background(), b, &rules{ask: func(Question) (Permit, error) { return Permit{}, denied }})
	}()
	go io.Copy(io.Discard, a)
	a.SetDeadline(time.Now().Add(patience))
	a.Write(sent)
	a.Close()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("the server does not end")
	}
}

func TestHostileClients(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for name, sent := range hostile {
		t.Run(name, func(t *testing.T) { endure(t, sent) })
	}
}

// A thousand answers that nobody reads hold up the one who asked, and end with it.
func TestAClientThatReadsNothing(t *testing.T) {
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(context.Background(), b, &rules{ask: func(Question) (Permit, error) { return Permit{}, denied }})
	}()
	a.SetDeadline(time.Now().Add(500 * time.Millisecond))
	for stream := uint32(1); stream < 20000; stream += 2 {
		sent := append(frame(frameWindow, syn, stream, 0), data(stream, header(`{"open":"tcp","host":"127.0.0.1","port":1}`))...)
		if _, err := a.Write(sent); err != nil {
			break
		}
	}
	a.Close()
	<-done
}

// Whatever a client sends, the server ends with it and opens nothing.
func FuzzServe(f *testing.F) {
	for _, sent := range hostile {
		f.Add(sent)
	}
	f.Fuzz(endure)
}
