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

// find looks, in one go, where the granted program starts and which file its name
// means to the user: the name itself when it has a slash, else the first executable
// file of that name on the environment's PATH, as execvp(3) searches. notice is
// what to tell the person when dir is not the home directory as it should be.
func (id identity) find(ctx context.Context, g shell.Grant) (dir, notice, file string, err error) {
	if g.Path == "" {
		return "", "", "", errors.New("start a program: it has no name")
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	type answer struct {
		dir, notice, file string
		err               error
	}
	found := make(chan answer, 1)
	err = id.look(ctx, func() {
		var a answer
		if a.dir, a.notice, a.err = id.workingDirectory(g); a.err == nil {
			if a.file, a.err = search(g.Path, pathOf(g.Env), a.dir); a.err != nil {
				a.err = execError(g.Path, a.err, false)
			}
		}
		found <- a
	})
	if err != nil {
		return "", "", "", fmt.Errorf("find %s: %w", g.Path, err)
	}
	a := <-found
	return a.dir, a.notice, a.file, a.err
}

// workingDirectory is for a thread that has the user's rights.
func (id identity) workingDirectory(g shell.Grant) (dir, notice string, err error) {
	dir = g.Dir
	if dir == "" {
		dir = id.home
	}
	if dir == "" {
		return "/", "", nil
	}
	err = canEnter(dir)
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
