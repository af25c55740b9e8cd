package copying

// Options are what a person asks of a copy. The zero value copies everything, and
// links as links.
type Options struct {
	// Update leaves files alone that have the same size and time already.
	Update bool
	// Follow copies what symbolic links lead to in place of them.
	Follow bool
	// Sync has every file on disk before it takes its place.
	Sync bool
	// Into refuses a destination that is no directory.
	Into bool
	// Relayed says that who receives is a third side; see [Relay].
	Relayed bool
	// Count has the sender find out how much it will be, for a progress bar.
	Count bool
}

// Bits of a request's flags.
const (
	flagReceive = 1 << iota // the server receives; otherwise it sends
	flagUpdate
	flagFollow
	flagSync
	flagInto
	flagCount
	allFlags = 1<<iota - 1
)

func (o Options) flags() (f uint64) {
	for bit, on := range map[uint64]bool{flagUpdate: o.Update, flagFollow: o.Follow, flagSync: o.Sync, flagInto: o.Into, flagCount: o.Count} {
		if on {
			f |= bit
		}
	}
	return f
}

func optionsOf(f uint64) Options {
	return Options{Update: f&flagUpdate != 0, Follow: f&flagFollow != 0, Sync: f&flagSync != 0, Into: f&flagInto != 0, Count: f&flagCount != 0}
}

// Observer is told how a copy goes, for the person who waits for it. Its methods
// are called from several goroutines and return at once. Paths are as they are
// on the side that they belong to, and may hold anything.
type Observer interface {
	// Expected says how much it will be, in files and bytes of content.
	Expected(files, bytes int64)
	// Moving says which file's content is under way, and Moved how many bytes of
	// content have gone by; those that an earlier attempt brought are resumed.
	Moving(path string)
	Moved(bytes int64)
	Resumed(bytes int64)
	// Did says that something is where it belongs.
	Did(what Outcome)
	// Problem says what was not copied. A warning is of something that was, or
	// that nobody expects to be.
	Problem(side Side, path, text string, warning bool)
}

// Outcome is what became of one thing.
type Outcome uint8

// The outcomes.
const (
	CopiedFile Outcome = iota
	CopiedDir
	CopiedLink
	Unchanged // a file that Update leaves alone
)

// Side says where something is.
type Side uint8

// The sides.
const (
	Sending Side = iota
	Receiving
)

// unobserved is for the side where nobody waits.
type unobserved struct{}

func (unobserved) Expected(int64, int64)              {}
func (unobserved) Moving(string)                      {}
func (unobserved) Moved(int64)                        {}
func (unobserved) Resumed(int64)                      {}
func (unobserved) Did(Outcome)                        {}
func (unobserved) Problem(Side, string, string, bool) {}
