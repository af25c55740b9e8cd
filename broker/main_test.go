package broker

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain also is the program of the fronts that the supervision tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "front" {
		os.Exit(actFront(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// eventually waits until ok holds, and fails the test when it does not within
// ten seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}
