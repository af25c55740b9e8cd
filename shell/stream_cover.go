package shell

import "sync/atomic"

// CoverChunk is how many bytes of the binary encoding a stream sends at a time
// under cover, headers included: enough for a prompt and a line that is drawn anew.
const CoverChunk = 512

// coverRoom is how much of a chunk is output, behind its header and before that
// of the padding.
const coverRoom = CoverChunk - 2*FrameHeaderSize

// streamCover is what a stream under cover does: it gives a chunk when one is
// due, whether there is output or not, and nothing in between. All but covered
// is for the goroutine of Next.
type streamCover struct {
	covered atomic.Bool
	pad     int  // what the rest of a chunk takes with its header, 0 between chunks
	bulk    bool // there was more output than a chunk holds, and still is
}

// show has Next give a chunk, or go on as without cover.
func (st *Stream) show(covered bool) {
	st.covered.Store(covered)
	st.raise(dueChunk)
}

// Unfinished says that the chunk that Next has begun goes on: the next frame is
// there without waiting, and belongs into the same write.
func (st *Stream) Unfinished() bool { return st.pad > 0 }

// padding is the frame that completes a chunk.
func (st *Stream) padding(buf []byte) Frame {
	n := min(st.pad-FrameHeaderSize, len(buf))
	st.pad = 0
	// Zeros: the buffer may hold somebody's output.
	clear(buf[:n])
	return Frame{Type: FrameKeepalive, End: st.cursor.position(), Data: buf[:n]}
}

// holds says that output has to wait for the next chunk.
func (st *Stream) holds() bool { return st.covered.Load() && !st.bulk }

// beginChunk makes room for no more output than a chunk holds if one is due, and
// takes note of it. It returns buf itself otherwise.
func (st *Stream) beginChunk(buf []byte) (room []byte, chunk bool) {
	if st.due.Load()&dueChunk == 0 {
		return buf, false
	}
	st.due.And(^uint32(dueChunk))
	if !st.holds() || len(buf) < coverRoom {
		return buf, false
	}
	return buf[:coverRoom], true
}

// endChunk has the rest of a chunk follow a frame. Nothing follows an exit.
func (st *Stream) endChunk(f Frame) {
	if f.Type != FrameExit {
		st.pad = CoverChunk - FrameHeaderSize - len(f.Data)
	}
	st.bulk = f.Type != FrameExit && st.cursor.pending() > 0
}
