package thrift

import (
	"sync/atomic"
	"time"
)

// Typing is when somebody last typed: whoever types waits for an echo, and a look
// through all memory is in its way. The zero value is that nobody has. It is safe
// for concurrent use.
type Typing struct{ last atomic.Int64 } // since started, and one

var started = time.Now()

// still is for how long nobody must have typed. People pause for longer.
const still = 2 * time.Second

// Now notes that somebody types.
func (t *Typing) Now() { t.last.Store(int64(time.Since(started)) + 1) }

func (t *Typing) lately() bool {
	last := t.last.Load()
	return last != 0 && time.Since(started)-time.Duration(last-1) < still
}
