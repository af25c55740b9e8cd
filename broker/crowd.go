package broker

import "sync"

// crowd bounds how many callers are at the same thing, in all and of one key
// each, so that those who wait for something slow leave the room that
// everybody's calls share. Its zero value lets nobody in.
type crowd[K comparable] struct {
	each, all int

	mu  sync.Mutex
	of  map[K]int
	now int
}

func newCrowd[K comparable](each, all int) *crowd[K] {
	return &crowd[K]{each: each, all: all, of: make(map[K]int)}
}

// enter says whether there is room for one more of a key; if so, leave is called
// afterwards.
func (c *crowd[K]) enter(key K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now >= c.all || c.of[key] >= c.each {
		return false
	}
	c.now++
	c.of[key]++
	return true
}

func (c *crowd[K]) leave(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	if c.of[key]--; c.of[key] == 0 {
		delete(c.of, key)
	}
}
