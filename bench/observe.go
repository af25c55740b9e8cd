package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"shellagent/bench/observer"
)

// runObserver is a relay as a process of its own: what the typist does must not
// disturb the observer in ways that nobody on a network is disturbed in. It tells
// its port, and everything it saw once its input ends.
func runObserver(port, tls string) int {
	n, err := strconv.Atoi(port)
	if err == nil {
		var r *observer.Relay
		if r, err = observer.NewRelay(n, tls == "tls"); err == nil {
			defer r.Close()
			fmt.Println(r.Port())
			_, _ = io.Copy(io.Discard, os.Stdin)
			err = json.NewEncoder(os.Stdout).Encode(r.Records())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench observe:", err)
		return 1
	}
	return 0
}

// observing is a runObserver.
type observing struct {
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Reader
	port int
}

func startObserver(ctx context.Context, port int, tls bool) (*observing, error) {
	kind := "plain"
	if tls {
		kind = "tls"
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o := &observing{cmd: exec.CommandContext(ctx, self, "observe", strconv.Itoa(port), kind)}
	o.cmd.Stderr = os.Stderr
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := o.cmd.Start(); err != nil {
		return nil, err
	}
	o.out = bufio.NewReader(out)
	line, err := o.out.ReadString('\n')
	if err == nil {
		o.port, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		o.stop()
		return nil, fmt.Errorf("the observer does not say where it listens: %w", err)
	}
	return o, nil
}

// tell ends the observation and returns what was seen.
func (o *observing) tell() (records []observer.Record, err error) {
	o.in.Close()
	if err := json.NewDecoder(o.out).Decode(&records); err != nil {
		return nil, fmt.Errorf("the observer's records: %w", err)
	}
	return records, nil
}

func (o *observing) stop() {
	o.in.Close()
	_ = o.cmd.Process.Kill()
	_ = o.cmd.Wait()
}
