package shell

// Room is memory that Next of a [Stream] or a [Watcher] is lent while there is something
// to say: what waits for a session that is idle needs none. It is for one goroutine,
// Next's.
type Room interface {
	// Take returns the memory, the same until Rest.
	Take() []byte
	// Rest says that it is not needed for now.
	Rest()
}

// lent is a room as long as there is one. Its zero value lends nothing.
type lent struct{ room Room }

// Lend has Next do without its buf whenever it waits, but under cover: data of the frame that it returns
// then is in what room.Take returns. It is called before Next; nil takes it back.
func (l *lent) Lend(room Room) { l.room = room }

func (l *lent) rest() {
	if l.room != nil {
		l.room.Rest()
	}
}

// back is the memory after a wait, with which buf was there before.
func (l *lent) back(buf []byte) []byte {
	if l.room != nil {
		return l.room.Take()
	}
	return buf
}
