package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"shellagent/shell"
)

// Bounds of an upgrade. Nobody is served meanwhile, so it is given up rather
// than waited for.
const (
	suspendLimit = 10 * time.Second // for calls that are under way
	freezeLimit  = 5 * time.Second
)

// upgradeIfReplaced makes a program that took the place of the agent's own take
// over: in this process, with its children and sockets. When that succeeds it
// does not return. Everything that can be found wrong is found before, and then
// the agent goes on as it is; the result says why. It is nil when nothing was
// replaced. trial is how long the configuration that is about to be read will be
// on trial, 0 for not at all: the new program would take it as it is.
func (a *agent) upgradeIfReplaced(ctx context.Context, trial time.Duration) *replacement {
	info, replaced := a.program.replaced()
	if !replaced {
		return nil
	}
	if trial > 0 {
		return a.notNow(info, errTrialFirst)
	}
	a.log.Info("the agent's program was replaced: trying the new one", "program", a.program.path)
	err := a.upgrade(ctx, info)
	a.observe(shell.Event{Kind: shell.EventUpgraded, Err: err})
	a.log.Error("the new program does not take over: the agent goes on as it is", "program", a.program.path, "err", err)
	return a.notNow(info, err)
}

// upgrade returns only when it failed.
func (a *agent) upgrade(ctx context.Context, info fs.FileInfo) error {
	if err := a.inForce.onTrial(); err != nil {
		return err
	}
	next, err := a.program.try(ctx, info, a.config.path)
	if err != nil {
		return err
	}
	began := monotonic()
	// From here on clients are cut off; none of them shall be taken for gone.
	a.broker.AwaitClients()
	resume, err := a.suspendFront(ctx)
	if err != nil {
		return err
	}
	defer resume()
	release, err := a.inForce.hold()
	if err != nil {
		return err
	}
	defer release()
	freezing, cancel := context.WithTimeout(ctx, freezeLimit)
	defer cancel()
	if err := a.broker.Freeze(freezing); err != nil {
		return err
	}
	defer a.broker.Thaw()
	recorded, err := a.recordings.freeze(freezing)
	if err != nil {
		return err
	}
	defer a.recordings.goOn()
	sockets := a.forwards.freeze()
	defer a.forwards.goOn()
	drained, err := a.audit.drained(freezing)
	if err != nil {
		return err
	}
	defer a.audit.drain()
	left, err := a.audit.suspend(freezing)
	if err != nil {
		return err
	}
	defer a.audit.resume()
	return a.handOver(ctx, next, &kept{recorded, drained, sockets, left}, began)
}

func (a *agent) suspendFront(ctx context.Context) (resume func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, suspendLimit)
	defer cancel()
	return a.front.Suspend(ctx)
}

// handOver writes the state of the frozen agent, has the new program read it,
// and becomes the new program. It returns only when it failed.
func (a *agent) handOver(ctx context.Context, next successor, k *kept, began time.Duration) error {
	state, descriptors, err := a.writeState(k, began)
	if err != nil {
		return err
	}
	defer state.Close()
	if err := next.understands(ctx, a.config.path, state); err != nil {
		return fmt.Errorf("it does not understand this agent's state: %w", err)
	}
	if err := errors.Join(ctx.Err(), next.same()); err != nil {
		return err
	}
	a.log.Info("the new program takes over", "version", next.version)
	fd := numberOf(state)
	return execute(next.path, append(descriptors, fd), stateVariable+"="+strconv.Itoa(fd))
}

// stateVariable tells the next image which descriptor its state is.
const stateVariable = "SHELLAGENT_STATE_FD"

// execute replaces this process's program by another one, with the same
// arguments and the given descriptors open. It returns only when that failed.
func execute(path string, descriptors []int, variable string) error {
	restore, err := prepareExec(descriptors)
	if err != nil {
		return err
	}
	defer restore()
	return fmt.Errorf("execute %s: %w", path, exec(path, os.Args, append(os.Environ(), variable)))
}
