// Package thrift gives memory back that a process has needed once and does not
// need while it is quiet. An agent that opened two hundred sessions in a minute
// keeps what their handshakes took, a third of its memory, because Go collects
// only when more is allocated, and an idle agent allocates nothing.
package thrift

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	look = 2 * time.Second
	// spent is how much must have been allocated, in bytes, for a look through
	// all memory to be worth its while: 200 idle sessions come to it some
	// seconds after a first look, when stacks shrink that did not before. quiet is
	// what may be allocated between two looks by a process that has nothing else to do.
	spent = 1 << 20
	quiet = 2 << 20
	// share is the part of what is in use that must have been allocated as well,
	// since a look goes through all of that: two thousand idle sessions allocate a
	// mebibyte every few seconds, to say that they are there.
	share = 8
	// shrinks is how many collections go before: each halves the stacks that are
	// mostly unused, and a handshake makes one of 32 KiB out of 2.
	shrinks = 4
	// patience is how many looks in a row typing puts it off: something that types
	// without a pause is nobody.
	patience = 60
)

// Run gives memory back at quiet moments, when nobody types either, until ctx ends.
// One for a process.
func Run(ctx context.Context, typing *Typing) {
	ticks := time.NewTicker(look)
	defer ticks.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	var k keeper
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(sample)
		if k.due(sample[0].Value.Uint64(), sample[1].Value.Uint64(), typing.lately()) {
			for range shrinks {
				runtime.GC()
			}
			debug.FreeOSMemory()
		}
	}
}

// keeper decides when memory is given back. Its zero value is ready.
type keeper struct {
	last, given uint64 // bytes ever allocated at the last look, and when memory was last given back
	putOff      int    // looks at which it would have been, but for typing
}

// due says whether now is a good moment, allocs bytes having been allocated and
// live of them having been in use when last looked at.
func (k *keeper) due(allocs, live uint64, typing bool) bool {
	calm := allocs-k.last < quiet
	k.last = allocs
	if !calm || allocs-k.given < max(spent, live/share) {
		return false
	}
	if k.putOff++; typing && k.putOff <= patience {
		return false
	}
	k.given, k.putOff = allocs, 0
	return true
}
