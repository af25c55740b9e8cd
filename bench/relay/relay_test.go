package relay

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"shellagent/bench/driver"
)

// TestMain is the relay itself when a test has started it.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "relay" {
		os.Exit(m.Run())
	}
	uid, err := strconv.ParseUint(os.Args[2], 10, 32)
	if err != nil {
		os.Exit(125)
	}
	code, err := Run(os.Args[3:], os.Environ(), "/", uint32(uid), uint32(uid))
	if err != nil {
		fmt.Println(err)
		os.Exit(125)
	}
	os.Exit(code)
}

func TestTheRelayIsATerminalBehindATerminal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it runs a program as another user")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const nobody = "65534"
	c, err := driver.OnTerminal(ctx, driver.Command{
		Argv: []string{os.Args[0], "relay", nobody, "/bin/sh", "-c", "stty size; id -u; read x; echo got $x"},
		Env:  []string{"PATH=/usr/bin:/bin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Await("24 80\r\n" + nobody + "\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.Send([]byte("this\r")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await("this\r\ngot this\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(); err != nil {
		t.Error(err)
	}
}
