package account

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// maxAnswer bounds what getent may print, in bytes: a group's line names
	// all its members.
	maxAnswer = 1 << 20
	maxFile   = 16 << 20
)

// errNoGetent says that the files are all there is to ask.
var errNoGetent = errors.New("no getent for this database")

// entry returns the line of a database for a key, without its newline.
func (d *Directory) entry(ctx context.Context, database, key string) (string, error) {
	line, err := d.ask(ctx, database, key)
	if errors.Is(err, errNoGetent) {
		return d.fileEntry(database, key)
	}
	return line, err
}

// listed returns the groups that list the user, from getent or the file.
func (d *Directory) listed(ctx context.Context, user string) ([]uint32, error) {
	line, err := d.ask(ctx, "initgroups", user)
	if errors.Is(err, errNoGetent) {
		return d.fileGroups(user)
	}
	if err != nil {
		return nil, err
	}
	return parseInitgroups(line)
}

// ask runs getent. key was checked by CheckName, or is a number.
func (d *Directory) ask(ctx context.Context, database, key string) (string, error) {
	path := d.command()
	if path == "" {
		return "", errNoGetent
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return "", fmt.Errorf("getent %s: %w", database, ctx.Err())
	}
	var out, errOut bounded
	cmd := exec.CommandContext(ctx, path, database, key)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("getent %s did not answer within %v; is its directory server reachable?", database, d.timeout)
	case out.overflow || errOut.overflow:
		// What killed getent is our not reading on.
		return "", fmt.Errorf("getent %s answered with more than %d bytes", database, maxAnswer)
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 2:
		return "", ErrUnknown
	case cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 1:
		// "Unknown database": musl's getent knows a few only, and has no NSS.
		return "", errNoGetent
	case err != nil:
		return "", fmt.Errorf("getent %s: %w: %s", database, err, firstLine(errOut.kept))
	}
	line := firstLine(out.kept)
	if line == "" {
		return "", ErrUnknown
	}
	return line, nil
}

func (d *Directory) command() string {
	for _, path := range d.getent {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(line)
}

// fileEntry returns the line of /etc/DATABASE whose first field is key, or
// whose third is, for a key that is a number.
func (d *Directory) fileEntry(database, key string) (string, error) {
	field := 0
	if CheckName(key) != nil {
		field = 2
	}
	found := ""
	err := d.eachLine(database, func(line string) bool {
		fields := strings.Split(line, ":")
		if len(fields) > field && fields[field] == key {
			found = line
		}
		return found == ""
	})
	if errors.Is(err, os.ErrNotExist) || err == nil && found == "" {
		return "", ErrUnknown
	}
	return found, err
}

// fileGroups returns the groups of /etc/group that list the user.
func (d *Directory) fileGroups(user string) ([]uint32, error) {
	var groups []uint32
	err := d.eachLine("group", func(line string) bool {
		f := strings.Split(line, ":")
		if len(f) != 4 || !slices.Contains(strings.Split(f[3], ","), user) {
			return true
		}
		if gid, err := parseID(f[2]); err == nil {
			groups = append(groups, gid)
		}
		return true
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return sortedGroups(groups), nil
}

// eachLine gives every line of a file of d.etc to f until it returns false.
func (d *Directory) eachLine(name string, f func(line string) bool) error {
	file, err := os.Open(filepath.Join(d.etc, name))
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxFile))
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		if !f(lines.Text()) {
			return nil
		}
	}
	return lines.Err()
}

// bounded keeps what is written to it and refuses more than maxAnswer. It does
// not embed the buffer: io.Copy would find its ReadFrom and pass by Write.
type bounded struct {
	kept     []byte
	overflow bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.kept)+len(p) > maxAnswer {
		b.overflow = true
		return 0, io.ErrShortWrite
	}
	b.kept = append(b.kept, p...)
	return len(p), nil
}
