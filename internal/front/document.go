package front

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"
)

// document is the JSON object of GET /v1/agent: the broker's, with the time.
type document struct{ object atomic.Pointer[[]byte] }

// set replaces the broker's part. What is not an object is none.
func (d *document) set(object []byte) {
	object = bytes.TrimSpace(object)
	if len(object) < 2 || object[0] != '{' {
		d.object.Store(nil)
		return
	}
	d.object.Store(&object)
}

// now returns the document with "timeMs", the agent's clock, as its first
// member; nil while there is none.
func (d *document) now() []byte {
	object := d.object.Load()
	if object == nil {
		return nil
	}
	out := append(make([]byte, 0, len(*object)+32), `{"timeMs":`...)
	out = strconv.AppendInt(out, time.Now().UnixMilli(), 10)
	if rest := bytes.TrimSpace((*object)[1:]); rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, (*object)[1:]...)
}
