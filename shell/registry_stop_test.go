package shell

import (
	"io"
	"testing"
	"time"
)

// A client that never acknowledges its exit, or reads nothing at all, is waited
// for by a stop as long as farewell says, and not as long as its silence.
func TestStopDoesNotWaitForTheSilent(t *testing.T) {
	inHouse(t, 0, func(h *house) {
		s := h.open(opening("a"))
		st, err := s.Attach("a", home, 0)
		if err != nil {
			h.Fatal(err)
		}
		h.HangUpAll("")
		stopped := make(chan error, 1)
		go func() { stopped <- h.Wait(h.Context()) }()
		later(farewell - time.Millisecond)
		select {
		case err := <-stopped:
			h.Fatalf("it is not waited for: %v", err)
		default:
		}
		later(2 * time.Millisecond)
		select {
		case err := <-stopped:
			if err != nil {
				h.Error(err)
			}
		default:
			h.Error("it is waited for without end")
		}
		buf := make([]byte, 1<<10)
		for err = nil; err == nil; {
			_, err = st.Next(h.Context(), buf)
		}
		if err != io.EOF {
			h.Errorf("the stream ends with %v", err)
		}
	})
}
