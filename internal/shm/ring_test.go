//go:build linux

package shm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// ends are a ring's two ends, each with a mapping of its own.
func ends(t *testing.T) (*Writer, *Reader, *os.File) {
	t.Helper()
	here, f, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	there, err := OpenRing(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(here.Release)
	t.Cleanup(there.Release)
	return &Writer{Ring: here}, &Reader{Ring: there}, f
}

// What is written comes out, with nothing but the wakes that each side is told of.
func TestPiecesArriveInOrder(t *testing.T) {
	w, r, _ := ends(t)
	toReader, toWriter := make(chan struct{}, 1), make(chan struct{}, 1)
	poke := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var want bytes.Buffer
	sizes := make([]int, 3000)
	for i := range sizes {
		sizes[i] = 1 + random.IntN(2000)
		if i%100 == 0 {
			sizes[i] = MaxPiece
		}
		for range sizes[i] {
			want.WriteByte(byte(random.Uint32()))
		}
	}
	data := want.Bytes()
	go func() {
		for i := 0; i < len(sizes); {
			room, err := w.Piece()
			if err != nil {
				t.Error(err)
				return
			}
			if room == nil {
				<-toWriter
				continue
			}
			n := copy(room, data[:sizes[i]])
			data = data[n:]
			i++
			if w.Commit(n) {
				poke(toReader)
			}
		}
	}()
	var got bytes.Buffer
	for got.Len() < want.Len() {
		piece, err := r.Piece()
		if err != nil {
			t.Fatal(err)
		}
		if piece == nil {
			<-toReader
			continue
		}
		got.Write(piece[Room : len(piece)-Room])
		clear(piece) // the room is the reader's, and so is the piece
		if r.Done() {
			poke(toWriter)
		}
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Error("what came is not what was written")
	}
}

// A writer that waits is not woken for each place.
func TestWriterIsWokenWhenHalfIsFree(t *testing.T) {
	w, r, _ := ends(t)
	for {
		room, err := w.Piece()
		if err != nil {
			t.Fatal(err)
		}
		if room == nil {
			break
		}
		w.Commit(1)
	}
	for i := range slots {
		if piece, err := r.Piece(); len(piece) != 1+2*Room || err != nil {
			t.Fatalf("%d bytes, %v", len(piece), err)
		}
		if wake := r.Done(); wake != (i == slots/2-1) {
			t.Errorf("after %d pieces: wake is %v", i+1, wake)
		}
	}
	if room, err := w.Piece(); room == nil || err != nil {
		t.Errorf("no room: %v", err)
	}
}

func TestLiesAreSeen(t *testing.T) {
	t.Run("reader took what was not written", func(t *testing.T) {
		w, r, _ := ends(t)
		r.Ring.head().consumed.Store(1)
		if _, err := w.Piece(); !errors.Is(err, ErrPeer) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("writer wrote more than there is room for", func(t *testing.T) {
		w, r, _ := ends(t)
		w.Ring.head().produced.Store(slots + 1)
		if _, err := r.Piece(); !errors.Is(err, ErrPeer) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("piece is too large", func(t *testing.T) {
		w, r, _ := ends(t)
		w.Ring.head().sizes[0].Store(MaxPiece + 1)
		w.Ring.head().produced.Store(1)
		if _, err := r.Piece(); !errors.Is(err, ErrPeer) {
			t.Errorf("got %v", err)
		}
	})
}

// Who has the file cannot take the memory from under the other side.
func TestSizeIsSealed(t *testing.T) {
	_, _, ring := ends(t)
	p, place, err := NewPlace()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	defer place.Close()
	for f, size := range map[*os.File]int64{ring: ringSize, place: PlaceSize} {
		for _, n := range []int64{0, size - 1, size + 1} {
			if err := f.Truncate(n); !errors.Is(err, unix.EPERM) {
				t.Errorf("%s: truncate to %d: %v", f.Name(), n, err)
			}
		}
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: another seal: %v", f.Name(), err)
		}
	}
}

func TestPlaceIsTheSameOnBothSides(t *testing.T) {
	here, f, err := NewPlace()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	there, err := OpenPlace(f)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if f.Close(); len(here.Bytes()) != PlaceSize {
		t.Errorf("%d bytes", len(here.Bytes()))
	}
	for _, at := range []int{0, PlaceSize - 1} {
		there.Bytes()[at] = 7
		if here.Bytes()[at] != 7 {
			t.Errorf("another byte at %d", at)
		}
	}
}

func TestMemoryGoesWithTheLastHold(t *testing.T) {
	r, f, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if !r.Hold() {
		t.Fatal("it cannot be held")
	}
	r.Release()
	r.slot(0)[0] = 1 // it is there still
	if r.Release(); r.Hold() {
		t.Error("it can be held after its end")
	}
}

func BenchmarkPiece(b *testing.B) {
	here, f, err := NewRing()
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	there, err := OpenRing(f)
	if err != nil {
		b.Fatal(err)
	}
	defer here.Release()
	defer there.Release()
	w, r := &Writer{Ring: here}, &Reader{Ring: there}
	data := make([]byte, MaxPiece)
	b.SetBytes(MaxPiece)
	b.ReportAllocs()
	for b.Loop() {
		room, err := w.Piece()
		if err != nil {
			b.Fatal(err)
		}
		w.Commit(copy(room, data))
		if _, err := r.Piece(); err != nil {
			b.Fatal(err)
		}
		r.Done()
	}
}
