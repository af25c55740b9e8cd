package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/internal/rawio"
	"shellagent/internal/shm"
	"shellagent/shell"
)

func digest(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:]
}

// sum answers with a body's hash.
func sum(_ context.Context, c *shell.Call) *shell.Reply {
	body, err := io.ReadAll(c.Body)
	if err != nil {
		return &shell.Reply{Status: 500, Detail: err.Error()}
	}
	return &shell.Reply{Status: 200, Body: digest(body)}
}

// placed counts the idle connections that have a place.
func (l *link) placed() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.idle {
		if c.place != nil {
			n++
		}
	}
	return n
}

func send(t *testing.T, l *link, body []byte) {
	t.Helper()
	r, err := l.Call(t.Context(), post(body))
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(r.Body, digest(body)) {
		t.Errorf("another body of %d bytes arrived, or none: %s", len(body), r.Detail)
	}
}

// Whatever way a body takes, it arrives, and so does what follows on the connection.
func TestBodiesGoThroughMemory(t *testing.T) {
	before := inside(places)
	l := newLink(t, 1, handlerFunc(sum))
	data := noise(shell.MaxCallBody)
	for _, step := range []struct{ size, placed int }{
		{maxInline + 1, 0}, {placeFrom - 1, 0}, {placeFrom, 1}, {100, 1}, {maxInline + 1, 1}, {shm.PlaceSize, 1},
		{shm.PlaceSize + 1, 1}, {0, 1}, {shell.MaxCallBody, 1}, {placeFrom, 1},
	} {
		send(t, l, data[:step.size])
		if n := l.placed(); n != step.placed {
			t.Errorf("%d places after a body of %d bytes, want %d", n, step.size, step.placed)
		}
	}
	if n := l.dialed.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
	l.end()
	if n := inside(places); n != before {
		t.Errorf("%d places are left, %d before", n, before)
	}
}

func TestManyBodiesGoThroughMemoryAtATime(t *testing.T) {
	before := inside(places)
	l := newLink(t, 8, handlerFunc(sum))
	data := noise(shm.PlaceSize + 8)
	var senders sync.WaitGroup
	for i := range 8 {
		senders.Go(func() {
			for j := range 20 {
				send(t, l, data[i:i+(j*shm.PlaceSize)/19])
			}
		})
	}
	senders.Wait()
	if n := l.placed(); n == 0 {
		t.Error("no memory was used")
	}
	l.end()
	if n := inside(places); n != before {
		t.Errorf("%d places are left, %d before", n, before)
	}
}

// Bodies beyond the bound of memory go over the socket.
func TestPlacesAreBounded(t *testing.T) {
	filled(t, places)
	before := inside(places)
	l := newLink(t, 1, handlerFunc(sum))
	send(t, l, noise(placeFrom))
	if n := l.placed(); n != 0 || inside(places) != before {
		t.Errorf("%d places more than there may be", n)
	}
}

func TestIdlePlacesAreGivenBack(t *testing.T) {
	before := inside(places)
	l := newLink(t, 2, handlerFunc(sum))
	l.placeTime = 10 * time.Millisecond
	send(t, l, noise(placeFrom))
	eventually(t, "the place is gone at both ends, whatever else is sent", func() bool {
		send(t, l, []byte("a key"))
		return l.placed() == 0 && inside(places) == before
	})
	send(t, l, noise(placeFrom))
}

// What a body leaves unread, and a client that goes away within one.
func TestPlacedBodyThatIsNotUsed(t *testing.T) {
	for name, read := range map[string]int{"nothing is read": 0, "a part is read": 1000} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t, 1, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
				if _, err := io.ReadFull(c.Body, make([]byte, read)); err != nil {
					t.Error(err)
				}
				return &shell.Reply{Status: 200}
			}))
			for range 3 {
				if _, err := l.Call(t.Context(), post(noise(placeFrom))); err != nil {
					t.Error(err)
				}
			}
			if n := l.dialed.Load(); n != 1 {
				t.Errorf("%d connections were made", n)
			}
		})
	}
	t.Run("it is cut", func(t *testing.T) {
		before := inside(places)
		read := make(chan error, 1)
		l := newLink(t, 1, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
			_, err := io.Copy(io.Discard, c.Body)
			read <- err
			return &shell.Reply{Status: 200}
		}))
		call := post(noise(placeFrom))
		call.Body = io.LimitReader(call.Body, 5000)
		if _, err := l.Call(t.Context(), call); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the front: %v", err)
		}
		if err := <-read; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the broker: %v", err)
		}
		if err := <-l.errs; err != nil {
			t.Error(err)
		}
		if n := inside(places); n != before {
			t.Errorf("%d places are left, %d before", n, before)
		}
	})
}

// A front that was taken over goes on writing to memory that it said a body is in:
// what the broker has read stays as it is.
func TestTakenOverFrontWritesToAPlace(t *testing.T) {
	front, own, err := connPair()
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	read, overwritten, same := make(chan []byte), make(chan struct{}), make(chan bool, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- ServeConn(t.Context(), own, handlerFunc(func(_ context.Context, c *shell.Call) *shell.Reply {
			body := make([]byte, c.Size)
			if _, err := io.ReadFull(c.Body, body); err != nil {
				t.Error(err)
			}
			before := bytes.Clone(body)
			read <- before
			<-overwritten
			same <- bytes.Equal(body, before)
			return &shell.Reply{Status: 200}
		}))
	}()
	_, mem := askedForPlace(t, &takenOver{t: t, conn: front}, post(bytes.Repeat([]byte{1}, placeFrom)))
	defer unix.Munmap(mem)
	if _, err := front.Write(bodyPlaced); err != nil {
		t.Fatal(err)
	}
	if got := <-read; !bytes.Equal(got, bytes.Repeat([]byte{1}, placeFrom)) {
		t.Error("another body arrived")
	}
	copy(mem, bytes.Repeat([]byte{2}, placeFrom))
	close(overwritten)
	if !<-same {
		t.Error("the body changed after it was read")
	}
	// What it writes instead of a call ends its connection.
	if _, err := front.Write(bytes.Repeat([]byte{0xff}, 100)); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, errCodec) {
		t.Errorf("got %v", err)
	}
}

// What is judged is what is typed, also while a front changes it: all of what was
// signed, or nothing.
func TestTakenOverFrontWritesWhileABodyIsJudged(t *testing.T) {
	key := newTestKey(t)
	a := newTestAgent(t, oneSource(key))
	s := a.open("debug", key)
	want := ""
	for i, tamper := range []string{"not", "before", "while", "not", "while", "before", "while", "not", "while", "while", "not"} {
		text := strings.Repeat(string(rune('a'+i)), placeFrom)
		front := a.takenOver()
		in, mem := askedForPlace(t, front, s.stdin(uint64(len(want)), text))
		stop, stopped := make(chan struct{}), make(chan struct{})
		close(stopped)
		other := mem[len(text)/2 : len(text)]
		switch tamper {
		case "before":
			other[0] = '!'
		case "while":
			stopped = make(chan struct{})
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					default:
						copy(other, bytes.Repeat([]byte{'!'}, 64))
						copy(other, text[:64])
					}
				}
			}()
		}
		if _, err := front.conn.Write(bodyPlaced); err != nil {
			t.Fatal(err)
		}
		var kind [1]byte
		if _, _, err := in.Read(kind[:]); err != nil || kind[0] != answerReply {
			t.Fatalf("%s: answer %d, %v", tamper, kind, err)
		}
		r, _, err := (&clientConn{sock: front.conn, in: front.in}).readReply()
		close(stop)
		<-stopped
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Status == 200 && tamper != "before":
			want += text
		case r.Status == 200 || tamper == "not":
			t.Errorf("tampered with: %s; answered with %d %s", tamper, r.Status, r.Code)
		}
		eventually(t, "what was signed is typed", func() bool { return s.program.read() == want })
		front.conn.Close()
		unix.Munmap(mem)
	}
}

// askedForPlace sends a call and puts its body where the broker asks for it.
func askedForPlace(t *testing.T, front *takenOver, c *shell.Call) (*rawio.RightsReader, []byte) {
	t.Helper()
	body, err := io.ReadAll(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := front.conn.Write(callHeader(t, c)); err != nil {
		t.Fatal(err)
	}
	raw, err := front.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in := &rawio.RightsReader{Raw: raw}
	answer := make([]byte, 1)
	_, file, err := in.Read(answer)
	if err != nil || file == nil || answer[0] != answerPlace {
		t.Fatalf("answer %d, file %v, %v", answer, file, err)
	}
	defer file.Close()
	mem, err := unix.Mmap(int(file.Fd()), 0, shm.PlaceSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(mem, body)
	return in, mem
}
