package shellhttp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"testing"

	"shellagent/shell"
)

// placedFrames are read once, and lie somewhere from then on.
type placedFrames struct {
	first  []byte
	pieces [][]byte
	read   bool
	held   int
}

func (f *placedFrames) Read(p []byte) (int, error) {
	if f.read {
		return 0, io.ErrClosedPipe // it is not to be read any more
	}
	f.read = true
	return copy(p, f.first), nil
}

func (f *placedFrames) Hold() bool {
	if f.read {
		f.held++
	}
	return f.read
}

func (f *placedFrames) Drop()        { f.held-- }
func (f *placedFrames) Close() error { return nil }

func (f *placedFrames) Next() ([]byte, error) {
	if len(f.pieces) == 0 {
		return nil, io.EOF
	}
	piece := make([]byte, PieceRoom+len(f.pieces[0])+PieceRoom)
	copy(piece[PieceRoom:], f.pieces[0])
	f.pieces = f.pieces[1:]
	return piece, nil
}

// newPlaced returns frames, and what they say.
func newPlaced(sizes ...int) (*placedFrames, []byte) {
	f := &placedFrames{first: []byte("at first")}
	all := bytes.Clone(f.first)
	for _, n := range sizes {
		piece := make([]byte, n)
		rand.Read(piece)
		f.pieces = append(f.pieces, piece)
		all = append(all, piece...)
	}
	return f, all
}

func TestPlacedFramesAreSentWhereTheyLie(t *testing.T) {
	frames, want := newPlaced(1, 0, 15, 16, 128<<10, 7, 100_000)
	_, dial := openServer(t, HandlerConfig{Caller: callerFunc(func(context.Context, *shell.Call) (*shell.Reply, error) {
		return &shell.Reply{Status: http.StatusOK, Stream: frames}, nil
	})})
	c := dial()
	io.WriteString(c, streamRequest)
	if _, text := answerOf(t, bufio.NewReader(c)); text != string(want) {
		t.Errorf("%d bytes of %d, or others", len(text), len(want))
	}
	if frames.held != 0 {
		t.Errorf("held %d times after the end", frames.held)
	}
}

// What was much before it lay somewhere is much there, and so is what becomes it.
func TestPlacedFramesCount(t *testing.T) {
	for _, before := range []int{0, muchSent - 1, muchSent} {
		frames, want := newPlaced(100_000, muchSent/2, 128<<10, muchSent/2)
		server, _ := openServer(t, HandlerConfig{Caller: callerFunc(told)})
		client, conn := net.Pipe()
		sent := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(client)
			sent <- all
		}()
		times := 0
		p := newPromptConn(server, shell.Call{}.Remote)
		p.conn = conn
		s := &streamConn{promptConn: p, frames: frames, sent: before, much: func() { times++ }}
		if err := s.send(); err != nil {
			t.Error(err)
		}
		p.cancel()
		conn.Close()
		if n := len(<-sent); n < len(want) {
			t.Errorf("%d bytes of %d were sent", n, len(want))
		}
		if times != 1 {
			t.Errorf("after %d bytes: told %d times that it is much", before, times)
		}
	}
}
