package command

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"shellagent/jwtauth"
)

const (
	// VerifyTimeout bounds one verification, waiting for a turn included.
	VerifyTimeout = 3 * time.Second
	// DefaultLimit is how many verifications run at a time.
	DefaultLimit = 4
	// waitingPerTurn bounds how many wait for each turn.
	waitingPerTurn = 8
)

// Errors of [Verifier.Verify]; match with errors.Is.
var (
	// ErrRefused says that the command ran and said no.
	ErrRefused = errors.New("verify command refused the token")
	// ErrBusy says that the command did not get its turn.
	ErrBusy = errors.New("too many verify commands at a time")
)

// Credential is who a command runs as: resolved numbers.
type Credential struct {
	UID    uint32
	GID    uint32
	Groups []uint32
}

// Verifier asks a program about a token (verifyCommands). The token is its
// standard input; exit status 0 and one JSON object of claims on standard
// output accept it, anything else does not. The program gets an environment of
// PATH and LANG only and runs in /. It is one more lock on the door: it never
// replaces the token's own checks, and its claims never replace the token's.
//
// A Verifier is safe for concurrent use, and must not be copied after its
// first one.
type Verifier struct {
	// Argv is the program, an absolute path, and its arguments.
	Argv []string
	// User is who it runs as; nil means the agent's own user. Linux only.
	User *Credential
	// Limit bounds the programs that run at a time; 0 means DefaultLimit.
	Limit int

	once    sync.Once
	turns   chan struct{}
	waiting chan struct{}
}

// Check says what would keep the command from ever running.
func (v *Verifier) Check() error {
	if len(v.Argv) == 0 || v.Argv[0] == "" {
		return errors.New("verify command is empty")
	}
	if !filepath.IsAbs(v.Argv[0]) {
		return fmt.Errorf("verify command %q is not an absolute path", v.Argv[0])
	}
	if _, err := exec.LookPath(v.Argv[0]); err != nil {
		return fmt.Errorf("verify command: %w", err)
	}
	return checkCredential(v.User)
}

// Verify asks about a token and returns the command's claims, bounded as
// [jwtauth.DecodeObject] bounds them. It takes at most [VerifyTimeout].
func (v *Verifier) Verify(ctx context.Context, token string) (map[string]any, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, VerifyTimeout)
	defer cancel()
	release, err := v.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()

	stdout := bounded{max: jwtauth.MaxPayload, strict: true}
	stderr := bounded{max: maxMessage}
	cmd := exec.CommandContext(ctx, v.Argv[0], v.Argv[1:]...)
	cmd.Stdin = strings.NewReader(token)
	cmd.Stdout = &stdout
	cmd.Stderr = &stderr
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.WaitDelay = waitDelay
	isolate(cmd, v.User)
	if err := cmd.Run(); err != nil {
		if stdout.over != nil { // and a broken pipe followed from it
			return nil, fmt.Errorf("verify command %s: %w", v.Argv[0], stdout.over)
		}
		return nil, v.failed(ctx, err, stderr.message())
	}
	claims, err := jwtauth.DecodeObject(stdout.buf.Bytes())
	if err != nil {
		return nil, fmt.Errorf("verify command %s: its output: %w", v.Argv[0], err)
	}
	return claims, nil
}

func (v *Verifier) failed(ctx context.Context, err error, said string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("verify command %s: %w", v.Argv[0], ctx.Err())
	}
	// A status of its own is an answer; death by a signal is not.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return fmt.Errorf("%w: %w", ErrRefused, failure(v.Argv, err, said))
	}
	return fmt.Errorf("verify command %w", failure(v.Argv, err, said))
}

// turn waits for one of the places to run.
func (v *Verifier) turn(ctx context.Context) (release func(), err error) {
	v.once.Do(func() {
		limit := v.Limit
		if limit <= 0 {
			limit = DefaultLimit
		}
		v.turns = make(chan struct{}, limit)
		v.waiting = make(chan struct{}, limit*(1+waitingPerTurn))
	})
	select {
	case v.waiting <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	select {
	case v.turns <- struct{}{}:
		return func() { <-v.turns; <-v.waiting }, nil
	case <-ctx.Done():
		<-v.waiting
		return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
}
