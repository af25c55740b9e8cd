package broker

import (
	"net/netip"
	"sync"
)

// crowd bounds how many callers wait for the same thing, in all and from one
// address, so that those who wait for something slow leave the room that
// everybody's calls share. Its zero value lets nobody in.
type crowd struct {
	each, all int

	mu   sync.Mutex
	from map[netip.Prefix]int
	now  int
}

func newCrowd(each, all int) *crowd {
	return &crowd{each: each, all: all, from: make(map[netip.Prefix]int)}
}

// enter says whether there is room for one more from an address; if so, leave
// is called afterwards.
func (c *crowd) enter(from netip.Addr) bool {
	key := Neighbourhood(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now >= c.all || c.from[key] >= c.each {
		return false
	}
	c.now++
	c.from[key]++
	return true
}

func (c *crowd) leave(from netip.Addr) {
	key := Neighbourhood(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	if c.from[key]--; c.from[key] == 0 {
		delete(c.from, key)
	}
}
