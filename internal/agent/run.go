package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"shellagent/internal/door"
	"shellagent/internal/listen"
	"shellagent/internal/thrift"
	"shellagent/internal/version"
	"shellagent/shell"
)

// run is the agent's life: the front and the reloads, until ctx
// is done or one of them fails; then the orderly end.
func (a *agent) run(ctx context.Context, portFile string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go thrift.Run(ctx, &a.typing.Typing)
	// The front serves until the sessions have told their clients goodbye.
	serving, stopFront := context.WithCancel(backgroundOf(ctx))
	defer stopFront()
	frontEnded := make(chan error, 1)
	go func() {
		err := a.front.Run(serving)
		if err != nil {
			cancel(err)
		}
		frontEnded <- err
	}()
	closeDoor, err := a.serveDoor(ctx, cancel)
	if err != nil {
		stopFront()
		<-frontEnded
		return err
	}
	defer closeDoor()
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		if err := watch(ctx, a.log, a.hup, a.asked, a.inForce.watch, a.inForce.news, func(why string) { a.reload(ctx, why) }); err != nil {
			cancel(fmt.Errorf("watch the configuration: %w", err))
		}
	}()
	var minding sync.WaitGroup
	minding.Go(func() { a.broker.Expire(ctx, askAgainEvery) })
	minding.Go(func() { a.keepAnnouncing(ctx) })
	go a.recordings.tidy(ctx) // which a disk that does not answer keeps from ending

	select {
	case <-a.ready:
		if err := a.announce(portFile); err != nil {
			cancel(err)
		}
		<-ctx.Done()
	case <-ctx.Done():
	}
	err = context.Cause(ctx)
	<-reloads
	minding.Wait()
	a.inForce.stop()
	a.stop(backgroundOf(ctx))
	stopFront()
	<-frontEnded
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// announce says that the agent is ready: to the log, to systemd, to a script.
func (a *agent) announce(portFile string) error {
	var addresses []string
	for _, l := range a.listeners {
		addresses = append(addresses, l.Addr().String())
	}
	a.log.Info("the agent is ready", "version", version.String(), "addresses", addresses,
		"fingerprint", a.hosts.current().PublicKey().Thumbprint(), "sources", len(a.config.policy.Sources()), "sessions", a.system.Keeping())
	if err := writePort(portFile, a.listeners[0].Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	if err := listen.Notify(listen.Ready); err != nil {
		a.log.Warn("systemd could not be told that the agent is ready", "err", err)
	}
	return nil
}

// stop tells sessions goodbye and waits for them, within bounds.
func (a *agent) stop(ctx context.Context) {
	a.log.Info("the agent is stopping")
	_ = listen.Notify(listen.Stopping)
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	if err := a.broker.Stop(ctx); err != nil {
		a.log.Warn("sessions did not end in time", "err", err)
	}
	a.recordings.wait(backgroundOf(ctx))
}

// reload is a reload that a signal or a file asked for.
func (a *agent) reload(ctx context.Context, why string) {
	_ = listen.Notify(listen.Reloading)
	defer func() { _ = listen.Notify(listen.Ready) }()
	if why == aSignal {
		a.upgradeIfReplaced(ctx, 0)
	}
	a.inForce.reload(why)
}

// reloadFor is a reload that an operator waits for. It takes its turn with the
// others, so that one program takes over at a time, and none while the agent stops.
func (a *agent) reloadFor(ctx context.Context, r *door.Reload) (any, error) {
	if err := sameFile(r.Config, a.config.path); err != nil {
		return nil, err
	}
	type result struct {
		reloaded
		err error
	}
	done := make(chan result, 1)
	ask := func(ctx context.Context) {
		_ = listen.Notify(listen.Reloading)
		defer func() { _ = listen.Notify(listen.Ready) }()
		program := a.upgradeIfReplaced(ctx, r.Confirm())
		out, err := a.inForce.ask(r.Confirm())
		out.Program = program
		if err != nil && program != nil {
			err = fmt.Errorf("%w\n%s", err, program.refusal())
		}
		done <- result{out, err}
	}
	select {
	case a.asked <- ask:
	case <-ctx.Done():
		return nil, fmt.Errorf("the agent has something else to do: %w", ctx.Err())
	}
	select {
	case r := <-done:
		return r.reloaded, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the reload goes on: see agent status: %w", ctx.Err())
	}
}

// obey puts a configuration in force. A certificate replaces a certificate
// only: from and to leaves that the host key signs it takes a restart.
func (a *agent) obey(next *loaded) (ended int, err error) {
	if next.certificate != nil && a.config.certificate != nil {
		if err := a.front.SetCertificate(next.certificate); err != nil {
			return 0, err
		}
	}
	a.audit.apply(&next.Audit)
	a.tellLostKeys(a.broker.Policy(), next.policy)
	a.metrics.Configure(next.policy.Sources(), next.policy.Subjects())
	a.recordings.keep(next.policy.Keeping())
	return a.broker.SetPolicy(context.Background(), next.policy), nil
}

func (a *agent) reloadEnded(err error) {
	a.observe(shell.Event{Kind: shell.EventReloaded, Err: err})
}
