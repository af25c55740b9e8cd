package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"shellagent/shell"
)

// fakeSession plays one program.
type fakeSession struct {
	agent   *fakeAgent
	source  string
	request shell.OpenRequest

	wmu sync.Mutex
	out *io.PipeWriter
	end uint64
	// shown is all that a program on a terminal printed.
	shown []byte

	mu     sync.Mutex
	change sync.Cond
	input  bytes.Buffer
	next   uint64
	eof    bool
	hungUp bool
	away   bool
}

func newFakeSession(a *fakeAgent, request shell.OpenRequest) *fakeSession {
	s := &fakeSession{agent: a, request: request, eof: request.NoInput}
	s.change.L = &s.mu
	return s
}

func (s *fakeSession) frame(t shell.FrameType, data []byte) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.end += t.Width(len(data))
	if s.request.Terminal != nil && t == shell.FrameStdout {
		s.shown = append(s.shown, data...)
	}
	_, _ = s.out.Write(shell.AppendFrame(nil, shell.Frame{Type: t, End: s.end, Data: data}))
}

// showOn begins a stream in place of the one before.
func (s *fakeSession) showOn(info []byte, from uint64) io.ReadCloser {
	reader, writer := io.Pipe()
	s.wmu.Lock()
	s.mu.Lock()
	s.out = writer
	s.mu.Unlock()
	first := shell.AppendFrame(nil, shell.Frame{Type: shell.FrameSession, End: from, Data: info})
	if s.end > from {
		first = shell.AppendFrame(first, shell.Frame{Type: shell.FrameStdout, End: s.end, Data: s.shown[from:]})
	}
	s.wmu.Unlock()
	return &struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), reader), reader}
}

func (s *fakeSession) closeOut() {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.out.Close()
}

func (s *fakeSession) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

func (s *fakeSession) print(format string, args ...any) {
	s.frame(shell.FrameStdout, fmt.Appendf(nil, format, args...))
}

func (s *fakeSession) exit(e shell.Exit) {
	data, _ := json.Marshal(e)
	s.frame(shell.FrameExit, data)
}

func (s *fakeSession) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hungUp = true
	s.change.Broadcast()
	s.agent.log.add("hung up")
	s.out.Close()
}

// take takes a stdin or control request.
func (s *fakeSession) take(kind string, body []byte) (*shell.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind == "stdin" {
		in, err := shell.ParseStdin(body)
		if err != nil || in.Offset > s.next {
			return nil, shell.Deny(shell.ReasonOffset, err)
		}
		s.agent.log.add("typed %q", in.Data)
		if fresh := in.Offset + uint64(len(in.Data)); fresh > s.next {
			s.input.Write(in.Data[s.next-in.Offset:])
			s.next = fresh
		}
		if in.EOF {
			s.agent.log.add("end of input at %d", s.next)
			s.eof = true
		}
		s.change.Broadcast()
	} else {
		var c shell.ControlRequest
		if err := json.Unmarshal(body, &c); err != nil {
			return nil, shell.Deny(shell.ReasonBody, err)
		}
		if c.Resize != nil {
			s.agent.log.add("resized to %dx%d", c.Resize.Cols, c.Resize.Rows)
		}
		if c.Detach {
			s.agent.log.add("detached")
			s.away = true
		}
		if c.Close {
			s.mu.Unlock()
			s.hangUp()
			s.mu.Lock()
		}
	}
	return &shell.Reply{Status: 200, Body: fmt.Appendf(nil, `{"next":%d}`, s.next)}, nil
}

// Read reads input like a program.
func (s *fakeSession) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.input.Len() == 0 {
		if s.eof || s.hungUp {
			return 0, io.EOF
		}
		s.change.Wait()
	}
	return s.input.Read(p)
}

func (s *fakeSession) waitForHangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.hungUp {
		s.change.Wait()
	}
}

// run plays the program that the first argument names; without one it is a
// shell, which knows nothing but "exit N" as a line of its own.
func (s *fakeSession) run() {
	argv := s.request.Argv
	if s.request.Command != "" {
		argv = []string{"echo", "-c", s.request.Command}
	}
	if len(argv) == 0 {
		s.shell()
		return
	}
	switch argv[0] {
	case "echo":
		s.print("%s\n", strings.Join(argv[1:], " "))
	case "env":
		s.print("%v %v\n", s.request.Env, s.request.Terminal != nil)
	case "both":
		s.print("out\n")
		s.frame(shell.FrameStderr, []byte("err\n"))
	case "notice":
		s.frame(shell.FrameNotice, []byte(`{"code":"stopping","text":"stopping\u001b[2J soon"}`))
	case "exit":
		var code int
		_, _ = fmt.Sscan(argv[1], &code)
		s.exit(shell.Exit{Code: code})
		return
	case "killed":
		s.exit(shell.Exit{Code: 137, Signal: "KILL", Reason: "idle timeout"})
		return
	case "cat":
		buf := make([]byte, 64<<10)
		for {
			n, err := s.Read(buf)
			if n > 0 {
				s.frame(shell.FrameStdout, buf[:n])
			}
			if err != nil {
				break
			}
		}
	case "sum":
		h := sha256.New()
		n, _ := io.Copy(h, s)
		s.print("%d %x\n", n, h.Sum(nil))
	case "yes":
		for line := bytes.Repeat([]byte("y\n"), 4096); ; {
			s.mu.Lock()
			gone := s.hungUp
			s.mu.Unlock()
			if gone {
				return
			}
			s.frame(shell.FrameStdout, line)
		}
	case "hang":
		s.print("ready\n")
		s.waitForHangUp()
		return
	case "cut":
		s.print("partial\n")
		return
	}
	s.exit(shell.Exit{})
}

// shell echoes its input, as a pty would.
func (s *fakeSession) shell() {
	var line []byte
	var code int
	buf := make([]byte, 4096)
	for {
		n, err := s.Read(buf)
		if n > 0 {
			s.frame(shell.FrameStdout, buf[:n])
		}
		line = append(line, buf[:n]...)
		if i := bytes.LastIndex(line, []byte("exit ")); i >= 0 && bytes.ContainsAny(line[i:], "\r\n") {
			_, _ = fmt.Sscan(string(line[i+len("exit "):]), &code)
			break
		}
		if err != nil {
			break
		}
	}
	s.exit(shell.Exit{Code: code})
}
