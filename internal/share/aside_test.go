//go:build linux || darwin

package share

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func (s *stage) dial() *Conn {
	s.t.Helper()
	c, err := Dial(s.place)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestForwardByTheHolder(t *testing.T) {
	s := newStage(t, time.Hour, 4)
	for do, want := range map[Do][]int{DoForward: {2, 7}, DoCancel: {2, 6}} {
		status, err := s.dial().Forward(Ask{Do: do, Source: "debug", Forwards: []string{"L1:h:2", "R0"}})
		if err != nil || !slices.Equal(status.Ports, want) || !slices.Equal(status.Forwards, []string{"-L 1:h:2"}) {
			t.Errorf("%s: %+v, %v", do, status, err)
		}
	}
	var failed *Failure
	if _, err := s.dial().Forward(Ask{Do: DoForward, Source: "refused"}); !errors.As(err, &failed) || failed.Code != 255 {
		t.Errorf("what is refused: %v", err)
	}
}

// Who stays keeps the holder, and is told when that ends.
func TestStay(t *testing.T) {
	s := newStage(t, 50*time.Millisecond, 4)
	ctx, cancel := context.WithCancelCause(t.Context())
	left, ended := make(chan error, 1), make(chan error, 1)
	leaves, stays := s.dial(), s.dial()
	go func() { left <- leaves.Stay(ctx) }()
	go func() { ended <- stays.Stay(t.Context()) }()
	eventually(t, "both to be counted", func() bool { return s.holder.Status().Opened == 2 })
	why := errors.New("somebody leaves")
	cancel(why)
	if err := <-left; !errors.Is(err, why) {
		t.Errorf("it leaves with %v", err)
	}
	if _, err := s.dial().Status(DoExit); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrHolderGone) {
		t.Errorf("it ends with %v", err)
	}
	if err := s.await(); err != nil {
		t.Error(err)
	}
}
