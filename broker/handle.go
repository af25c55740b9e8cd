package broker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// Handle verifies, decides and acts upon one call: [Handler].
func (b *Broker) Handle(ctx context.Context, call *shell.Call) *shell.Reply {
	began := b.now()
	var who caller
	reply, err := b.handle(ctx, call, &who, began)
	if err != nil {
		return b.refuse(call, &who, err)
	}
	return reply
}

func (b *Broker) handle(ctx context.Context, call *shell.Call, who *caller, began time.Time) (*shell.Reply, error) {
	if call.Token == "" {
		return nil, shell.Deny(shell.ReasonNoToken, nil)
	}
	u, err := jwtauth.Parse(call.Token)
	if err != nil {
		return nil, err
	}
	if err := b.verifySignature(ctx, call, u, who); err != nil {
		return nil, err
	}
	if who.left {
		return nil, b.tooLate(who)
	}
	r, denied := parseRoute(call.Method, call.Target)
	if denied != nil {
		return nil, denied
	}
	ctx, leave, err := b.takeRoom(ctx, call, who, r)
	if err != nil {
		return nil, err
	}
	defer leave()
	body, release, err := b.verifyBinding(call, r, who)
	defer release()
	if err != nil {
		return nil, err
	}
	if r.action != actOpen && r.action != actConfirm {
		// These are used up after their policy was asked.
		if err := b.useUp(who); err != nil {
			return nil, err
		}
	}
	switch r.action {
	case actOpen:
		who.source = r.name
		return b.open(ctx, call, who, r.name, body, began)
	case actAttach:
		return b.attach(ctx, call, who, r.name)
	case actWatch:
		return b.watch(ctx, call, who, r)
	case actList:
		return b.list(ctx, call, who)
	case actKill:
		return b.kill(ctx, call, who, r.name)
	case actConfirm:
		who.source = r.name
		return b.confirm(ctx, call, who, r.name)
	}
	if r.name != who.client.session.ID() {
		return nil, shell.Deny(shell.ReasonSessionOwner, errors.New("the token is of another session"))
	}
	switch r.action {
	case actStream:
		return b.resume(call, who, r.from)
	case actStdin:
		return b.stdin(ctx, who, body, began)
	default:
		return b.control(ctx, who, body)
	}
}

// nextAnswer tells the next input offset that the agent expects.
type nextAnswer struct {
	Next uint64 `json:"next"`
}

func answer(v any) (*shell.Reply, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, shell.Deny(shell.ReasonInternal, err)
	}
	return &shell.Reply{Status: 200, Body: body}, nil
}
