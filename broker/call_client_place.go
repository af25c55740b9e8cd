package broker

import (
	"fmt"
	"io"
	"slices"
	"time"

	"shellagent/internal/shm"
	"shellagent/shell"
)

// placeTime is how long an idle connection is kept whose place for bodies has none.
const placeTime = 10 * time.Second

// answers reads what the broker answers, and the file that may come with it if the
// call has a large body: to look for one costs each key a microsecond.
type answers struct{ conn *clientConn }

func (a answers) Read(p []byte) (int, error) {
	if !a.conn.large {
		return a.conn.sock.Read(p)
	}
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
	c.placed = time.Now()
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
	c.idle = slices.Delete(c.idle, at, at+1)
	return conn
}

// keepPlace has a connection that became idle closed in time. c.mu is held.
func (c *CallClient) keepPlace(conn *clientConn) {
	if conn.place != nil && c.sweep == nil {
		c.sweep = time.AfterFunc(c.placeTime, c.endPlaces)
	}
}

// endPlaces closes the idle connections whose place was not used for long.
func (c *CallClient) endPlaces() {
	c.mu.Lock()
	c.sweep = nil
	var over []*clientConn
	next := time.Duration(-1)
	c.idle = slices.DeleteFunc(c.idle, func(conn *clientConn) bool {
		if conn.place == nil {
			return false
		}
		left := c.placeTime - time.Since(conn.placed)
		if left <= 0 {
			over = append(over, conn)
		} else if next < 0 || left < next {
			next = left
		}
		return left <= 0
	})
	if next > 0 {
		c.sweep = time.AfterFunc(next, c.endPlaces)
	}
	c.mu.Unlock()
	for _, conn := range over {
		conn.end()
	}
}
