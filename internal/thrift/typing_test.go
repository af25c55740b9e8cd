package thrift

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTypingIsNoQuietMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer func(before time.Time) { started = before }(started)
		started = time.Now()
		var typing Typing
		if typing.lately() {
			t.Error("nobody has typed yet")
		}
		var k keeper
		k.due(0, 0, false)
		for key := range 10 { // a mebibyte each, less than a busy process takes
			typing.Now()
			if k.due(uint64(key+1)<<20, 0, typing.lately()) {
				t.Errorf("memory is looked through at key %d", key)
			}
			<-time.After(still - 1)
		}
		<-time.After(1)
		if typing.lately() || !k.due(11<<20, 0, typing.lately()) {
			t.Error("memory is not given back once nobody types")
		}
	})
}

func TestTypingWithoutAPauseIsNobody(t *testing.T) {
	k := keeper{last: spent}
	for look := range patience {
		if k.due(spent, 0, true) {
			t.Errorf("look %d is in the way of keys", look)
		}
	}
	if !k.due(spent, 0, true) {
		t.Error("memory is kept for ever")
	}
}
