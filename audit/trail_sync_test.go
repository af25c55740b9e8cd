package audit

import (
	"os"
	"testing"
	"time"

	"shellagent/jwtauth"
	"shellagent/seal"
)

// An event that is written is not written again because the file that it ended
// cannot be brought to the disk: that is told by the next Sync.
func TestEndedFileThatIsNotOnTheDisk(t *testing.T) {
	host, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.Load(t.TempDir(), host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	trail, err := OpenTrail(t.TempDir(), key, Options{MaxFile: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe() // takes bytes and has no disk
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := trail.file
	defer before.Close()
	trail.file = w
	if err := trail.Append(&Event{Kind: SessionOpened}); err != nil {
		t.Errorf("it would be tried again: %v", err)
	}
	if trail.file == w {
		t.Fatal("the file was not ended")
	}
	if err := trail.Sync(); err == nil {
		t.Error("nobody is told")
	}
	if err := trail.Close(); err != nil {
		t.Error(err)
	}
}
