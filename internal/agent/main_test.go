package agent

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"shellagent/shell/process"
)

func TestMain(m *testing.M) {
	// As the agent does it: the tests may have been started by nohup, too.
	if err := process.ResetSignals(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
