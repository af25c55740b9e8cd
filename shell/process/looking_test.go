package process

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A home on a file server that is gone takes no more threads than a few, however
// often it is asked for, and everybody goes on when it answers.
func TestLooksThatHang(t *testing.T) {
	id := identity{user: "me", uid: uint32(os.Geteuid()), own: true}
	let := make(chan struct{})
	var hanging sync.WaitGroup
	started := make(chan struct{}, 10*maxUserLooks)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, maxUserLooks)
	hanging.Add(maxUserLooks)
	for range maxUserLooks {
		go func() {
			gaveUp <- id.look(ctx, func() {
				defer hanging.Done()
				started <- struct{}{}
				<-let
			})
		}()
	}
	for range maxUserLooks {
		<-started
	}
	cancel()
	for range maxUserLooks {
		if err := <-gaveUp; err == nil {
			t.Error("a look that hangs has an answer")
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := id.look(soon, func() { started <- struct{}{} })
	if err == nil || !strings.Contains(err.Error(), "16 looks at files have not ended, 16 of them this user's") || len(started) != 0 {
		t.Errorf("one more look: %v", err)
	}
	other := id
	other.uid++
	if err := other.look(t.Context(), func() {}); err != nil {
		t.Errorf("another user's: %v", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- id.look(t.Context(), func() {}) }()
	close(let)
	hanging.Wait()
	if err := <-waiting; err != nil {
		t.Errorf("once the server answers: %v", err)
	}
}

func TestAllLooksAreBounded(t *testing.T) {
	var l looks
	for uid := range uint32(maxLooks) {
		if err := l.begin(t.Context(), uid); err != nil {
			t.Fatal(err)
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.begin(done, 1<<20); err == nil {
		t.Error("more than there may be")
	}
	l.end(0)
	if err := l.begin(t.Context(), 1<<20); err != nil {
		t.Error(err)
	}
	for uid := range uint32(maxLooks - 1) {
		l.end(uid + 1)
	}
	l.end(1 << 20)
	if l.all != 0 || len(l.users) != 0 {
		t.Errorf("%d left, %v", l.all, l.users)
	}
}
