package broker

import (
	"context"
	"encoding/json"
	"io"
	"strconv"

	"shellagent/internal/failpoint"
	"shellagent/shell"
)

// viewer is somebody's view of a session: the client's, or a watcher's.
type viewer interface {
	// From is the output offset at which it began.
	From() uint64
	// End is the output offset that the session had reached then.
	End() uint64
	// Next, Lend and Close are as [shell.Stream]'s.
	Next(ctx context.Context, buf []byte) (shell.Frame, error)
	Lend(room shell.Room)
	Close()
}

var (
	_ viewer = (*shell.Stream)(nil)
	_ viewer = (*shell.Watcher)(nil)
)

// frameReader yields a session's stream in the binary encoding: the session
// frame first, then what the stream has, a whole frame per Read where p has
// room for it.
type frameReader struct {
	stream viewer
	ctx    context.Context
	cancel context.CancelFunc
	rest   []byte        // encoded, not yet read
	spare  []byte        // for a p too small to hold a frame
	chunks *shell.Stream // the stream, if it may be under cover
	room   shell.Room    // see lend
}

// frameRoom is the smallest p that is filled directly: below it a frame's
// header would cost more than its data.
const frameRoom = shell.FrameHeaderSize + 512

func newFrameReader(first shell.Frame, st viewer) *frameReader {
	ctx, cancel := context.WithCancel(context.Background())
	chunks, _ := st.(*shell.Stream)
	return &frameReader{stream: st, chunks: chunks, ctx: ctx, cancel: cancel, rest: shell.AppendFrame(nil, first)}
}

var _ io.ReadCloser = (*frameReader)(nil)

// Read blocks until the session has something to say. It returns io.EOF after
// the exit or when the stream was replaced by a newer one.
func (r *frameReader) Read(p []byte) (int, error) {
	if len(r.rest) > 0 {
		n := copy(p, r.rest)
		if r.rest = r.rest[n:]; len(r.rest) == 0 {
			r.rest = nil // an idle stream holds on to nothing
		}
		return n, nil
	}
	if len(p) >= frameRoom {
		return r.fill(p)
	}
	if r.spare == nil {
		r.spare = make([]byte, frameRoom)
	}
	n, err := r.fill(r.spare)
	r.rest = r.spare[:n]
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, err
}

// lend has Read do without its p while it waits: what it reads then is in what
// room.Take returns. Nil takes it back.
func (r *frameReader) lend(room shell.Room) {
	if r.room = room; room == nil {
		r.stream.Lend(nil)
		return
	}
	r.stream.Lend(frameRoomOf{room})
}

// frameRoomOf leaves room for a frame's header.
type frameRoomOf struct{ shell.Room }

// Take implements [shell.Room].
func (f frameRoomOf) Take() []byte { return f.Room.Take()[shell.FrameHeaderSize:] }

// fill puts one frame into p: its data where it belongs, then its header.
func (r *frameReader) fill(p []byte) (int, error) {
	f, err := r.stream.Next(r.ctx, p[shell.FrameHeaderSize:])
	if err != nil {
		return 0, err
	}
	if r.room != nil {
		p = r.room.Take()
	}
	n := r.encode(f, p)
	if r.chunks == nil || !r.chunks.Unfinished() || len(p)-n < shell.FrameHeaderSize {
		return n, nil
	}
	// What an observer counts is the bytes that leave together.
	if f, err = r.stream.Next(r.ctx, p[n+shell.FrameHeaderSize:]); err != nil {
		return n, err
	}
	return n + r.encode(f, p[n:]), nil
}

// encode puts f into p, and what is too much for it into rest.
func (r *frameReader) encode(f shell.Frame, p []byte) int {
	failpoint.Hit(failpoint.FrameTaken, "")
	if len(f.Data) > len(p)-shell.FrameHeaderSize {
		r.rest = shell.AppendFrame(nil, f)
		n := copy(p, r.rest)
		r.rest = r.rest[n:]
		return n
	}
	copy(p[shell.FrameHeaderSize:], f.Data)
	shell.AppendFrameHeader(p[:0], f.Type, len(f.Data), f.End)
	return shell.FrameHeaderSize + len(f.Data)
}

// prompt passes on [shell.Stream.Prompt], where there is one.
func (r *frameReader) prompt(write func(frame []byte) bool) {
	if r.chunks != nil {
		r.chunks.Prompt(write)
	}
}

var _ bulk = (*frameReader)(nil)

// Bulk implements [bulk]. What a terminal shows is read by a person, and so is what a
// watcher sees: memory of its own would lie there mostly unused.
func (r *frameReader) Bulk() bool { return r.chunks != nil && !r.chunks.OnTerminal() }

// Close says that the connection is gone; the session becomes detached.
func (r *frameReader) Close() error {
	r.cancel()
	r.stream.Close()
	return nil
}

func marshal(v any) ([]byte, error) { return json.Marshal(v) }

// appendNextWide is appendNext with as many bytes for any offset.
func appendNextWide(dst []byte, next uint64) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], next, 10)
	dst = append(dst, `{"next":`...)
	for range len(digits) - len(text) {
		dst = append(dst, ' ')
	}
	return append(append(dst, text...), '}')
}

// appendNext is the answer to input, made by hand because a keystroke waits for it.
func appendNext(dst []byte, next uint64) []byte {
	dst = append(dst, `{"next":`...)
	return append(strconv.AppendUint(dst, next, 10), '}')
}
