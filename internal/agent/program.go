package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shellagent/config"
	"shellagent/internal/handover"
)

// program is the file that this agent was started from.
type program struct {
	path string // as it was started, so that a link may lead to the next version
}

// running is the file that is being executed, also when its name is another's.
const running = "/proc/self/exe"

// ownProgram finds the file that the agent was started from: by the name that it
// was started with, or the one that the kernel has for it.
func ownProgram(argv0 string) (program, error) {
	own, err := os.Stat(running)
	if err != nil {
		return program{}, err
	}
	kernels, err := os.Readlink(running)
	if err != nil {
		return program{}, err
	}
	for _, path := range append(candidates(argv0), kernels) {
		if file, err := os.Stat(path); err == nil && os.SameFile(own, file) {
			return program{path: path}, nil
		}
	}
	return program{}, fmt.Errorf("the agent was not started from %s", kernels)
}

// candidates are the files that a first argument may stand for.
func candidates(argv0 string) (paths []string) {
	if strings.Contains(argv0, "/") {
		if path, err := filepath.Abs(argv0); err == nil {
			paths = append(paths, path)
		}
		return paths
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) {
			paths = append(paths, filepath.Join(dir, argv0))
		}
	}
	return paths
}

// replaced says whether another file has the program's name now. A program that
// was removed was not replaced.
func (p program) replaced() (fs.FileInfo, bool) {
	own, err := os.Stat(running)
	if err != nil || p.path == "" {
		return nil, false
	}
	next, err := os.Stat(p.path)
	if err != nil || os.SameFile(own, next) {
		return nil, false
	}
	return next, true
}

// successor is a program that may take this one's place.
type successor struct {
	path string
	info fs.FileInfo
	// version is what it calls itself.
	version string
}

// same says whether the file is still the one that was tried.
func (s successor) same() error {
	now, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if !unchanged(now, s.info) {
		return fmt.Errorf("%s was replaced again meanwhile: reload once more", s.path)
	}
	return nil
}

// unchanged says whether two looks at a file saw the same.
func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// probeLimit is how long a new program may take to answer. It asks the host for
// users, which may take seconds.
const probeLimit = 15 * time.Second

// try finds out whether nobody else can change the new program, and runs it to
// find out whether it starts, accepts the configuration, and reads the state that
// this one writes.
func (p program) try(ctx context.Context, info fs.FileInfo, configuration string) (successor, error) {
	s := successor{path: p.path, info: info}
	// Whoever could put it there would get all that this agent has.
	if err := config.CheckPermissions(p.path); err != nil {
		return s, err
	}
	if _, err := s.run(ctx, nil, "check", "-c", configuration); err != nil {
		return s, err
	}
	text, err := s.run(ctx, nil, probeName, "-c", configuration)
	if err != nil {
		return s, err
	}
	var answer probeAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		return s, fmt.Errorf("%s %s answers with %.40q", s.path, probeName, text)
	}
	s.version = answer.Agent
	if !slices.Contains(answer.Reads, handover.Version) {
		return s, fmt.Errorf("%s is %.40q, which reads the state of versions %v and not of this one's %d: restart the agent to change to it, which ends its sessions",
			s.path, answer.Agent, answer.Reads, handover.Version)
	}
	return s, nil
}

// understands has the new program read the state, down to the last record.
func (s successor) understands(ctx context.Context, config string, state *os.File) error {
	_, err := s.run(ctx, state, probeName, "-c", config, "--state")
	return err
}

// Bounds of what a new program may print.
const (
	maxAnswer   = 64 << 10
	maxProbeErr = 1 << 10
)

// run runs the new program within [probeLimit] and returns its standard output.
// The error has the end of its standard error.
func (s successor) run(ctx context.Context, stdin *os.File, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	what := s.path + " " + args[0]
	if stdin == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		stdin = null
	}
	out, outEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	errs, errsEnd, err := os.Pipe()
	if err != nil {
		outEnd.Close()
		return nil, err
	}
	defer errs.Close()
	child, err := os.StartProcess(s.path, append([]string{s.path}, args...), &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{stdin, outEnd, errsEnd},
	})
	outEnd.Close()
	errsEnd.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", what, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = child.Kill(); out.Close(); errs.Close() })
	said := make(chan []byte, 1)
	go func() { said <- last(errs, maxProbeErr) }()
	answer, _ := io.ReadAll(io.LimitReader(out, maxAnswer))
	out.Close() // who prints more than that is no agent
	complaint := <-said
	state, err := child.Wait()
	stop()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), err))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	case !state.Success():
		return nil, fmt.Errorf("%s: %s: %s", what, state, bytes.TrimSpace(complaint))
	}
	return answer, nil
}

// last reads to the end and returns the last n bytes or fewer.
func last(r io.Reader, n int) (tail []byte) {
	buf := make([]byte, 4<<10)
	for {
		m, err := r.Read(buf)
		tail = append(tail, buf[:m]...)
		tail = tail[max(0, len(tail)-n):]
		if err != nil {
			return tail
		}
	}
}
