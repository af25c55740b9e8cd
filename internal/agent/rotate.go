package agent

import (
	"context"
	"time"
)

// rotate takes one step of the host key's rotation and makes it known.
func (a *agent) rotate(step string) (rotation, error) {
	before := a.hosts.current()
	if err := a.hosts.step(step); err != nil {
		return rotation{}, err
	}
	if err := a.tellHostKeys(); err != nil {
		return rotation{}, err
	}
	r := a.rotation()
	if a.hosts.current() != before {
		a.front.RenewLeaf()
		if err := a.seal.Certify(a.hosts.current(), time.Now()); err != nil {
			a.log.Error("the seal key is certified by the old host key until the next start", "err", err)
		}
	}
	a.log.Info("the host key's rotation", "step", step, "hostKey", r.HostKey.Thumbprint, "announced", r.Next != nil)
	return r, nil
}

func (a *agent) rotation() rotation {
	r := a.hosts.standing()
	r.Running = true
	return r
}

// tellHostKeys gives broker and front the keys and the announcement as they are.
func (a *agent) tellHostKeys() error {
	document, err := a.document()
	if err != nil {
		return err
	}
	a.broker.SetHostKeys(a.hosts.all())
	a.front.SetAgent(document)
	return nil
}

// keepAnnouncing keeps the announcement of a next host key good until ctx ends.
func (a *agent) keepAnnouncing(ctx context.Context) {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := a.hosts.refresh(time.Now())
		if err == nil {
			err = a.tellHostKeys()
		}
		if err != nil {
			a.log.Error("the next host key cannot be announced", "err", err)
		}
	}
}
