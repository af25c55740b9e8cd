package copying

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What was not asked for is not passed on after a directory is left that was never
// entered either, whatever the other server makes of that.
func TestARelayStaysAtTheTop(t *testing.T) {
	records := []record{{kind: kindReady, count: 1}, {kind: kindLeave}, small(".bashrc", "x"), {kind: kindFinish}}
	from, err := AskToSend(said(true, records...), io.Discard, []string{"motd"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dest, err := AskToReceive(said(true, record{kind: kindReady}, record{kind: kindFinished}), io.Discard, "to", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Relay(t.Context(), from, dest, newSeen()); !errors.Is(err, errRecord) {
		t.Errorf("got %v", err)
	}
}

// looked counts the directories that are opened.
type looked struct {
	Place
	opened int
}

func (l *looked) OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	l.opened++
	return l.Place.OpenFile(name, flag, perm)
}

// Many patterns stand for no more than one does.
func TestWhatManyPatternsMatchIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range 1500 {
		write(t, filepath.Join(dir, fmt.Sprint("f", i)), "", 0o644)
	}
	place, out := &looked{Place: Everywhere{}}, new(bytes.Buffer)
	request := record{kind: kindRequest, paths: slices.Repeat([]string{dir + "/*"}, 100)}
	if err := Serve(t.Context(), said(true, request), out, Served{Place: place, Start: "/"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "sources") || place.opened > maxPaths/1500+1 {
		t.Errorf("%d patterns were looked at for %q", place.opened, out)
	}
}
