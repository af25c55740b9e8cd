package shellhttp

import (
	"testing"
	"time"
)

// Requests grow on a way that takes long because it is, and not on one that is slow.
func TestPace(t *testing.T) {
	const far, near = 50 * time.Millisecond, 200 * time.Microsecond
	for _, c := range []struct {
		name          string
		trip, took    time.Duration
		terminal      bool
		size, workers int
	}{
		{"short and quick", near, time.Millisecond, false, nearPost, nearPosts},
		{"long, while TCP begins", far, 500 * time.Millisecond, false, maxPost, maxBulkPosts},
		{"long and quick", far, 110 * time.Millisecond, false, maxPost, maxBulkPosts},
		{"very long, while TCP begins", 4 * far, 1300 * time.Millisecond, false, maxPost, maxBulkPosts},
		{"long and slow", far, time.Second, false, firstPost, farPosts},
		{"long and very slow", far, 2 * time.Second, false, minPost, farPosts},
		{"short and very slow", near, 2 * time.Second, false, minPost, nearPosts},
		{"long, not known to be", 0, 110 * time.Millisecond, false, maxPost, maxBulkPosts},
		{"a terminal's", far, 110 * time.Millisecond, true, maxPost, 1},
	} {
		q := newStdinSender(&Session{client: &Client{}}, 0, c.terminal, c.trip)
		for range 8 {
			q.pace(q.size, c.took)
		}
		if q.size != c.size || q.workers != c.workers {
			t.Errorf("%s: %d requests of %d bytes, want %d of %d", c.name, q.workers, q.size, c.workers, c.size)
		}
	}
}
