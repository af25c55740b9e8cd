package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"shellagent/bench/cost"
)

const startTime = 20 * time.Second

// server is a daemon that runs as long as the benchmark does.
type server struct {
	cmd   *exec.Cmd
	log   string // file
	own   string // directory or file of its executables
	ended chan struct{}
}

// serve starts a daemon and waits until it answers on the port of 127.0.0.1.
func serve(ctx context.Context, cmd *exec.Cmd, log, own string, port int) (*server, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, log: log, own: own, ended: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(s.ended) }()
	if err := s.answers(ctx, port); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, lastOf(log))
	}
	return s, nil
}

func (s *server) answers(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("ended at its start")
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// lastOf returns the end of a file, for error messages.
func lastOf(name string) []byte {
	text, _ := os.ReadFile(name)
	return bytes.TrimSpace(text[max(0, len(text)-2000):])
}

// processes returns those of the server's tree that execute its own files.
func (s *server) processes() ([]int, error) {
	tree, err := cost.Tree(s.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range tree {
		if p.Exe == s.own || strings.HasPrefix(p.Exe, s.own+"/") {
			pids = append(pids, p.PID)
		}
	}
	return pids, nil
}

// stop ends the server, then what is left of its process group.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
}

// freePort returns a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
