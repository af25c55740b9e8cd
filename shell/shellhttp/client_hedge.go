package shellhttp

import (
	"context"
	"errors"
	"time"
)

const (
	// hedgeAfter is how long a small request waits for its answer before it is
	// sent once more, on another connection: a middlebox may have forgotten the
	// first, and nobody says so. Who types does not wait for that to be certain.
	hedgeAfter = 3 * time.Second
	// maxHedged bounds requests that are sent twice, in bytes: a large one may
	// well be on its way for that long.
	maxHedged = 4 << 10
)

// errHedged ends a request whose double was answered.
var errHedged = errors.New("the same request was answered on another connection")

// hedged asks, and asks once more when no answer came within hedgeAfter; the
// first answer counts, a refusal being one. What is asked must be safe to repeat.
func hedged(ctx context.Context, ask func(context.Context) ([]byte, error)) ([]byte, error) {
	first, endFirst := context.WithCancelCause(ctx)
	second, endSecond := context.WithCancelCause(ctx)
	defer endFirst(nil)
	defer endSecond(nil)
	var again struct {
		text []byte
		err  error
	}
	done := make(chan struct{})
	timer := time.AfterFunc(hedgeAfter, func() {
		defer close(done)
		if again.text, again.err = ask(second); decided(again.err) {
			endFirst(errHedged)
		}
	})
	text, err := ask(first)
	if timer.Stop() {
		return text, err
	}
	if decided(err) {
		endSecond(errHedged)
		<-done
		return text, err
	}
	<-done
	if decided(again.err) {
		return again.text, again.err
	}
	return text, err
}

// decided says whether the agent answered.
func decided(err error) bool {
	var refusal *Problem
	return err == nil || errors.As(err, &refusal)
}
