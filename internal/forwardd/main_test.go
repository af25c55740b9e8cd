package forwardd

import (
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	unix.Umask(0o177) // as Serve wants it
	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit))
}
