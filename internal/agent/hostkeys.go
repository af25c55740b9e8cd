package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"shellagent/broker"
	"shellagent/jwtauth"
)

const (
	// nextKeyFile and previousKeyFile are beside the host key around a rotation.
	nextKeyFile     = hostKeyFile + ".next"
	previousKeyFile = hostKeyFile + ".previous"
	// previousFor is how long identity tokens for the key before are taken: until
	// those are in that somebody was touching a key for meanwhile.
	previousFor = time.Minute
	// announceEvery is how often the announcement is signed anew; it is good for
	// [jwtauth.SuccessionLifetime].
	announceEvery = time.Hour
)

// hostKeys are the agent's identities and the steps from one to the next. Its
// directory is locked by the process that has it.
type hostKeys struct {
	dir string

	mu   sync.Mutex
	keys broker.HostKeys
	// since is when the next key was made.
	since time.Time
}

// openHostKeys loads the host key, or makes it, and those around it if there are
// any.
func openHostKeys(dir string) (k *hostKeys, made bool, err error) {
	k = &hostKeys{dir: dir}
	if k.keys.Current, made, err = hostKey(dir); err != nil {
		return nil, false, err
	}
	for name, key := range map[string]**jwtauth.PrivateKey{nextKeyFile: &k.keys.Next, previousKeyFile: &k.keys.Previous} {
		if *key, err = loadHostKey(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, nextKeyFile)); err == nil {
		k.since = info.ModTime()
	}
	if p := k.keys.Previous; p != nil && p.PublicKey().Equal(k.keys.Current.PublicKey()) {
		k.keys.Previous = nil // a rotation was cut off between two files
	}
	return k, made, k.announce(time.Now())
}

// current is the key that signs now.
func (k *hostKeys) current() *jwtauth.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys.Current
}

// all are the keys as the broker needs them.
func (k *hostKeys) all() broker.HostKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys
}

// refresh signs the announcement anew, if there is one.
func (k *hostKeys) refresh(now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.announce(now)
}

func (k *hostKeys) announce(now time.Time) error {
	follow := func(current, next *jwtauth.PrivateKey) (*jwtauth.Succession, error) {
		if current == nil || next == nil {
			return nil, nil
		}
		s, err := jwtauth.SignSuccession(current, next, now)
		return &s, err
	}
	var errNext, errPrevious error
	k.keys.Announced, errNext = follow(k.keys.Current, k.keys.Next)
	k.keys.Followed, errPrevious = follow(k.keys.Previous, k.keys.Current)
	return errors.Join(errNext, errPrevious)
}

// rotation is where the host keys stand.
type rotation struct {
	Version int `json:"version"`
	// State is "none", or "announced" while there is a next key.
	State    string        `json:"state"`
	HostKey  *shownHostKey `json:"hostKey"`
	Next     *shownHostKey `json:"next,omitempty"`
	Previous *shownHostKey `json:"previous,omitempty"`
	// Since is when the next key was made.
	Since time.Time `json:"since,omitzero"`
	// Running: an agent has these keys and announces the next one.
	Running bool `json:"running"`
}

// shownHostKey is a host key as clients and people know it.
type shownHostKey struct {
	Key         string `json:"key"`
	Thumbprint  string `json:"thumbprint"`
	Fingerprint string `json:"fingerprint"`
}

func showHostKey(k *jwtauth.PrivateKey) *shownHostKey {
	if k == nil {
		return nil
	}
	p := k.PublicKey()
	return &shownHostKey{p.AuthorizedKey(""), p.Thumbprint(), p.OpenSSHFingerprint()}
}

func (k *hostKeys) standing() rotation {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := rotation{Version: 1, State: "none", HostKey: showHostKey(k.keys.Current), Previous: showHostKey(k.keys.Previous)}
	if k.keys.Next != nil {
		r.State, r.Next, r.Since = "announced", showHostKey(k.keys.Next), k.since
	}
	return r
}

// step takes one step of a rotation.
func (k *hostKeys) step(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	switch name {
	case "begin":
		err = k.begin()
	case "finish":
		err = k.finish()
	default:
		err = k.abort()
	}
	return errors.Join(err, k.announce(time.Now()))
}

// begin makes the next key. When there is one already it stays.
func (k *hostKeys) begin() error {
	if k.keys.Next != nil {
		return nil
	}
	next, err := makeHostKey(filepath.Join(k.dir, nextKeyFile))
	if err != nil {
		return err
	}
	k.keys.Next, k.since = next, time.Now()
	return nil
}

// errNoNext is what a step meets that a rotation has to be begun for.
var errNoNext = errors.New("there is no next host key: begin with agent keys rotate, and finish when clients have seen it")

// finish makes the next key the host key. The one before stays beside it, for
// an operator who finds that too few clients knew.
func (k *hostKeys) finish() error {
	if k.keys.Next == nil {
		return errNoNext
	}
	at := func(name string) string { return filepath.Join(k.dir, name) }
	// A crash between any two of these leaves a host key and at most a public
	// half too many, which the next start puts right.
	for _, suffix := range []string{"", publicSuffix} {
		if err := os.Remove(at(previousKeyFile + suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("finish the rotation: %w", err)
		}
		if err := os.Link(at(hostKeyFile+suffix), at(previousKeyFile+suffix)); err != nil {
			return fmt.Errorf("finish the rotation: %w", err)
		}
	}
	if err := os.Rename(at(nextKeyFile), at(hostKeyFile)); err != nil {
		return fmt.Errorf("finish the rotation: %w", err)
	}
	k.keys = broker.HostKeys{Current: k.keys.Next, Previous: k.keys.Current, Until: time.Now().Add(previousFor)}
	_ = os.Remove(at(nextKeyFile + publicSuffix))
	return errors.Join(publish(at(hostKeyFile), k.keys.Current), syncDir(k.dir))
}

// abort forgets the next key. Clients do so when they next hear that there is none.
func (k *hostKeys) abort() error {
	if k.keys.Next == nil {
		return errNoNext
	}
	for _, suffix := range []string{"", publicSuffix} {
		if err := os.Remove(filepath.Join(k.dir, nextKeyFile+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("abort the rotation: %w", err)
		}
	}
	k.keys.Next = nil
	return syncDir(k.dir)
}

// syncDir makes renames last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
