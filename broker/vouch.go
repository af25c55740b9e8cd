package broker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// vouch asks the verify commands of a source about a key that is not listed for
// it. A command costs a process before anybody is known, so what would be
// refused anyhow is refused first: by form, audience, time and request, which
// are read from the token before its signature can be checked. The signature is
// checked afterwards with the key that the command named.
func (b *Broker) vouch(ctx context.Context, call *shell.Call, u jwtauth.Unverified, who *caller) error {
	r, denied := parseRoute(call.Method, call.Target)
	if denied != nil || r.action != actOpen || who.policy.Lists(r.name, u.Kid) || !who.policy.Vouches(r.name) {
		return nil // whatever is wrong with it is found where all is
	}
	who.source = r.name
	remote := call.Remote.Addr()
	near := Neighbourhood(remote)
	if !b.askers.enter(near) {
		return errAskers
	}
	defer b.askers.leave(near)
	if err := b.turns.Take(ctx, remote, false); err != nil {
		return shell.Deny(shell.ReasonUnavailable, err)
	}
	err := b.plausible(call, u, r)
	b.turns.Done()
	if err != nil {
		return err
	}
	who.vouched, err = b.askCommands(ctx, call, who, r.name)
	return err
}

// askCommands asks the verify commands of a source about the caller's key, in
// the turn of the address that the call is from.
func (b *Broker) askCommands(ctx context.Context, call *shell.Call, who *caller, source string) (*sources.Voucher, error) {
	remote := call.Remote.Addr()
	waiting, cancel := context.WithTimeout(ctx, maxAskingWait)
	defer cancel()
	if err := b.asking.Take(waiting, remote, false); err != nil {
		return nil, shell.Deny(shell.ReasonUnavailable, err)
	}
	defer b.asking.Done()
	return who.policy.UnknownKey(ctx, source, call.Token, who.kid, remote)
}

// errAskers refuses what would have to be asked about beyond the bounds.
var errAskers = shell.Deny(shell.ReasonRateLimited, errors.New("too many keys wait to be asked about"))

// Bounds of the keys that are asked about. Addresses take turns, and one of
// them cannot fill the room of all calls with what waits.
const (
	maxAsking     = 8
	maxAskersEach = 16
	maxAskers     = 128
	maxAskingWait = 5 * time.Second
)

// plausible makes the checks of verifyBinding on the token's word alone.
func (b *Broker) plausible(call *shell.Call, u jwtauth.Unverified, r route) error {
	t, err := u.Unproven()
	if err != nil {
		return err
	}
	if err := b.checkToken(t, r); err != nil {
		return err
	}
	if call.Size > maxInline {
		return shell.Deny(shell.ReasonBodyTooLarge, errors.New("a key that is not listed opens with at most 16 KiB"))
	}
	body := make([]byte, call.Size)
	if _, err := io.ReadFull(call.Body, body); err != nil {
		return shell.Deny(shell.ReasonMalformed, err)
	}
	call.Body = bytes.NewReader(body)
	return t.CheckRequest(call.Method, call.Target, body)
}
