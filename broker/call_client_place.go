package broker

import (
	"fmt"
	"io"
	"time"

	"shellagent/internal/shm"
	"shellagent/shell"
)

// placeTime is how long an idle connection is kept that has a place for bodies.
const placeTime = 10 * time.Second

// answers reads what the broker answers, and the file that may come with it.
type answers struct{ conn *clientConn }

func (a answers) Read(p []byte) (int, error) {
	n, file, err := a.conn.received.Read(p)
	if file != nil {
		a.conn.leavePlace()
		var failed error
		if a.conn.place, failed = shm.OpenPlace(file); err == nil {
			err = failed
		}
		file.Close()
	}
	return n, err
}

// placeBody puts a body where the broker asked for it.
func (c *clientConn) placeBody(call *shell.Call) error {
	if c.place == nil || call.Size > shm.PlaceSize {
		return unavailable(fmt.Errorf("no place for a body of %d bytes: %w", call.Size, errCodec))
	}
	if _, err := io.ReadFull(call.Body, c.place.Bytes()[:call.Size]); err != nil {
		return bodyError(err)
	}
	if _, err := c.sock.Write(bodyPlaced); err != nil {
		return unavailable(err)
	}
	return nil
}

func (c *clientConn) leavePlace() {
	if c.place != nil {
		c.place.Close()
		c.place = nil
	}
}

// end closes a connection that nobody uses.
func (c *clientConn) end() {
	c.sock.Close()
	c.leavePlace()
}

// takeIdle returns the idle connection that was used last, of those with a place for
// a call with a large body and of the others for one without, if there is any such.
// c.mu is held, and there is an idle connection.
func (c *CallClient) takeIdle(large bool) *clientConn {
	at := len(c.idle) - 1
	for i := at; i >= 0; i-- {
		if (c.idle[i].place != nil) == large {
			at = i
			break
		}
	}
	conn := c.idle[at]
	c.idle = append(c.idle[:at], c.idle[at+1:]...)
	return conn
}

// keepPlace has a connection that became idle closed in time. c.mu is held.
func (c *CallClient) keepPlace(conn *clientConn) {
	if conn.place == nil {
		return
	}
	conn.since = time.Now()
	if c.sweep == nil {
		c.sweep = time.AfterFunc(c.placeTime, c.endPlaces)
	}
}

// endPlaces closes the connections whose place has been idle for long.
func (c *CallClient) endPlaces() {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, left := c.idle[:0], false
	for _, conn := range c.idle {
		if conn.place != nil && time.Since(conn.since) >= c.placeTime {
			conn.end()
			continue
		}
		kept = append(kept, conn)
		left = left || conn.place != nil
	}
	clear(c.idle[len(kept):])
	c.idle, c.sweep = kept, nil
	if left && !c.closed {
		c.sweep = time.AfterFunc(c.placeTime, c.endPlaces)
	}
}
