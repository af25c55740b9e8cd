package broker

import (
	"context"
	"errors"
	"math"

	"shellagent/shell"
)

// The room for calls in progress is everybody's (512). A key holder who sends
// large bodies slowly, or types into programs that do not read, could be in all
// of it: one identity key has a quarter, its sessions' requests included.
const maxCallsOfKey = 128

func newRooms() *crowd[string] { return newCrowd[string](maxCallsOfKey, math.MaxInt) }

// takeRoom counts a call whose signature holds against its identity key; leave
// is called when it is over. A key that has no room left is answered at once:
// small input and control are taken without waiting for anything, what else
// there is has to be sent again.
func (b *Broker) takeRoom(ctx context.Context, call *shell.Call, who *caller, r route) (_ context.Context, leave func(), err error) {
	owner := who.kid
	if who.client != nil {
		owner = who.client.owner
	}
	if b.rooms.enter(owner) {
		return ctx, func() { b.rooms.leave(owner) }, nil
	}
	if (r.action == actStdin || r.action == actControl) && call.Size <= maxInline {
		return noWaiting, func() {}, nil
	}
	return ctx, nil, shell.Deny(shell.ReasonKeyBusy, errors.New("too many calls of the key are in progress"))
}

// noWaiting is over already.
var noWaiting = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
