package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// lookLimit bounds how long the host may take to look at a directory or a file.
const lookLimit = 10 * time.Second

// defaultPath is searched when the environment has no PATH, as sshd does.
const defaultPath = "/usr/local/bin:/usr/bin:/bin:/usr/games"

func pathOf(env []string) string {
	if path := lookUp(env, "PATH"); path != "" {
		return path
	}
	return defaultPath
}

// workingDirectory returns where the program starts, and what to tell the
// person when that is not the home directory as it should be.
func (id identity) workingDirectory(ctx context.Context, g shell.Grant) (dir, notice string, err error) {
	dir = g.Dir
	if dir == "" {
		dir = id.home
	}
	if dir == "" {
		return "/", "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	entered := make(chan error, 1)
	if err := id.look(ctx, func() { entered <- canEnter(dir) }); err != nil {
		return "", "", fmt.Errorf("working directory %s: %w", dir, err)
	}
	err = <-entered
	switch {
	case err == nil:
		return dir, "", nil
	case dir == id.home:
		return "/", fmt.Sprintf("Could not chdir to home directory %s: %s\n", dir, errnoText(err)), nil
	default:
		return "", "", fmt.Errorf("working directory %s of user %s: %s: make it, or set workDir", dir, id.user, errnoText(err))
	}
}

func canEnter(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return syscall.ENOTDIR
	default:
		return unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS)
	}
}

// find returns the file that name means to the user: name itself when it has a
// slash, else the first executable file of that name on path, as execvp(3)
// searches.
func (id identity) find(ctx context.Context, name, path, dir string) (string, error) {
	if name == "" {
		return "", errors.New("start a program: it has no name")
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	type answer struct {
		file string
		err  error
	}
	found := make(chan answer, 1)
	err := id.look(ctx, func() {
		file, err := search(name, path, dir)
		found <- answer{file, err}
	})
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	a := <-found
	if a.err != nil {
		return "", execError(name, a.err, false)
	}
	return a.file, nil
}

// search keeps the first error that is not "no such file": a file that is there
// but may not be run is told as such, unless another one may.
func search(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		return name, canExecute(within(dir, name))
	}
	var denied error
	for _, d := range filepath.SplitList(path) {
		file := filepath.Join(d, name)
		if d == "" || d == "." {
			file = "./" + name
		}
		err := canExecute(within(dir, file))
		if err == nil {
			return file, nil
		}
		if denied == nil && !absent(err) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", syscall.ENOENT
}

func absent(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

// within is where a relative path leads once the child has entered dir.
func within(dir, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return dir + "/" + file
}

func canExecute(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case !info.Mode().IsRegular():
		return syscall.EACCES
	default:
		return unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
	}
}
