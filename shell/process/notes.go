package process

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// notes is the directory in which the agent notes its running sessions, one
// file each, for [CleanUp] at its next start. They are for a killed agent on a
// running kernel, so they are not forced to the disk. "" notes nothing.
type notes string

// treeNote says how to find a session's processes again. Exactly one is set.
type treeNote struct {
	Cgroup string `json:"cgroup,omitempty"` // the group's directory
	Mark   string `json:"mark,omitempty"`   // the value of markVariable
}

// noted is what a note's file holds.
type noted struct {
	Boot  string   `json:"boot"` // the kernel's boot_id: numbers mean nothing on another
	Agent procNote `json:"agent"`
	Tree  treeNote `json:"tree"`
	// Leader is not set while the start is under way.
	Leader procNote `json:"leader"`
	// Keep says that what the program started may outlive the session.
	Keep bool `json:"keep,omitempty"`
	// Over says that the session is over and only such processes are left.
	Over bool `json:"over,omitempty"`
}

// procNote is a processID on disk.
type procNote struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot
}

func (n procNote) id() processID { return processID{pid: n.PID, start: n.Start} }

func noteOf(id processID) procNote { return procNote{PID: id.pid, Start: id.start} }

func notesIn(stateDir string) notes { return notes(filepath.Join(stateDir, "processes")) }

func openNotes(stateDir string) (notes, error) {
	if stateDir == "" {
		return "", nil
	}
	dir := notesIn(stateDir)
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return "", fmt.Errorf("note running sessions: %w", err)
	}
	return dir, nil
}

// note is the note of one session. A nil note notes nothing.
type note struct {
	file string
	text noted
}

// add writes the note of a session that is about to start.
func (d notes) add(t treeNote, keep bool) (*note, error) {
	if d == "" {
		return nil, nil
	}
	self, err := thisAgent()
	if err != nil {
		return nil, err
	}
	n := &note{
		file: filepath.Join(string(d), strings.ToLower(rand.Text())+".json"),
		text: noted{Boot: self.Boot, Agent: self.Agent, Tree: t, Keep: keep},
	}
	if err := n.write(); err != nil {
		n.remove()
		return nil, err
	}
	return n, nil
}

// thisAgent is what is the same in each note of this process.
var thisAgent = sync.OnceValues(func() (noted, error) {
	boot, err := bootID()
	if err != nil {
		return noted{}, err
	}
	self, err := readStat(os.Getpid())
	return noted{Boot: boot, Agent: noteOf(self.id)}, err
})

func (n *note) setLeader(id processID) error {
	if n == nil {
		return nil
	}
	n.text.Leader = noteOf(id)
	return n.writeOver()
}

// setOver is for a session whose processes were left to go on.
func (n *note) setOver() error {
	if n == nil {
		return nil
	}
	n.text.Over = true
	return n.write()
}

func (n *note) remove() {
	if n != nil {
		_ = os.Remove(n.file)
	}
}

// write replaces the file as a whole: an agent killed meanwhile leaves the old
// note or the new one.
func (n *note) write() error {
	text, err := json.Marshal(n.text)
	if err != nil {
		return err
	}
	next := n.file + newNote
	if err := os.WriteFile(next, text, 0o600); err != nil {
		_ = os.Remove(next)
		return err
	}
	return os.Rename(next, n.file)
}

// writeOver is [note.write] for a note that is there and has become longer. It is
// one write within a page, which an agent that is killed has done or not; to put
// another file in its place makes a file system force that to the disk (ext4(5),
// auto_da_alloc).
func (n *note) writeOver() error {
	text, err := json.Marshal(n.text)
	if err != nil {
		return err
	}
	fd, err := unix.Open(n.file, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: n.file, Err: err}
	}
	defer unix.Close(fd)
	written, err := unix.Pwrite(fd, text, 0)
	if err == nil && written < len(text) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: n.file, Err: err}
	}
	return nil
}

const (
	maxNote = 64 << 10
	newNote = ".new" // ends the name of a note that is being written
)

// read returns the notes that are there. One that cannot be understood is an
// error, told together with the others.
func (d notes) read() ([]*note, error) {
	files, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*note
	var errs []error
	for _, f := range files {
		n := &note{file: filepath.Join(string(d), f.Name())}
		switch info, err := f.Info(); {
		case strings.HasSuffix(n.file, newNote):
			n.remove()
		case err != nil || !info.Mode().IsRegular() || info.Size() > maxNote:
			errs = append(errs, fmt.Errorf("%s is not the note of a session: remove it", n.file))
		default:
			if err := n.readFile(); err != nil {
				errs = append(errs, err)
				continue
			}
			all = append(all, n)
		}
	}
	return all, errors.Join(errs...)
}

func (n *note) readFile() error {
	text, err := os.ReadFile(n.file)
	if err != nil {
		return err
	}
	if n.text, err = parseNote(text); err != nil {
		return fmt.Errorf("%s is not the note of a session: %w: remove it", n.file, err)
	}
	return nil
}

func parseNote(text []byte) (n noted, err error) {
	if err := json.Unmarshal(text, &n); err != nil {
		return noted{}, err
	}
	switch t := n.Tree; {
	case n.Boot == "" || n.Agent.PID <= 0 || n.Leader.PID < 0:
		return noted{}, errors.New("fields are missing")
	case (t.Cgroup == "") == (t.Mark == ""):
		return noted{}, errors.New("it names no processes")
	case t.Cgroup != "" && !isSessionCgroup(t.Cgroup):
		return noted{}, errors.New("it names a cgroup that is not a session's")
	}
	return n, nil
}

// isSessionCgroup keeps a damaged note from ending what is not a session.
func isSessionCgroup(dir string) bool {
	return filepath.IsAbs(dir) && filepath.Clean(dir) == dir &&
		strings.HasPrefix(filepath.Base(dir), cgroupPrefix)
}

// bootID names the running kernel's boot.
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}
