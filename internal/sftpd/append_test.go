package sftpd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"shellagent/shell"
)

// TestAppendsComeInOrder: a client sends all and reads the answers then. Its
// offsets are those of one that knows the size, one that does not, and one that
// makes them up; a fourth means the place that is the size.
func TestAppendsComeInOrder(t *testing.T) {
	const writes = 300
	for name, offset := range map[string]func(i int) uint64{
		"from the size": func(i int) uint64 { return uint64(5 + i) },
		"from 0":        func(i int) uint64 { return uint64(i) },
		"any":           func(int) uint64 { return rand.Uint64() },
		"back":          func(i int) uint64 { return uint64(writes - i) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "f")
			write(t, file, "begin")
			w, _ := newWire(t, shell.Files{}, dir)
			handles := []string{w.open("f", 2|4), w.open("other", 2|8)}
			go func() {
				for i := range writes {
					w.send(newPacket(typeWrite, uint32(1000+i)).text(handles[0]).long(offset(i)).text(string(rune('a' + i%26))))
					w.send(newPacket(typeWrite, uint32(5000+i)).text(handles[1]).long(uint64(writes - 1 - i)).text(string(rune('a' + i%26))))
				}
			}()
			for range 2 * writes {
				kind, f := w.receive()
				if id, code := f.number(), f.number(); kind != typeStatus || code != 0 {
					t.Fatalf("write %d: kind %d, code %d", id, kind, code)
				}
			}
			appended, placed := []byte("begin"), make([]byte, writes)
			for i := range writes {
				appended = append(appended, byte('a'+i%26))
				placed[writes-1-i] = byte('a' + i%26)
			}
			if got, _ := os.ReadFile(file); !bytes.Equal(got, appended) {
				t.Errorf("appended: %q", got)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "other")); !bytes.Equal(got, placed) {
				t.Errorf("written at their places: %q", got)
			}
		})
	}
}

// TestAppendingWaitsItsTurn: workers take writes as they like, and one that fails
// holds up none.
func TestAppendingWaitsItsTurn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	write(t, name, "begin")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := newAppending(f)
	defer a.Close()
	var wg sync.WaitGroup
	for _, i := range rand.Perm(8) {
		wg.Go(func() {
			if n, err := a.WriteAt([]byte{byte('0' + i)}, int64(i)); n != 1 || err != nil {
				t.Errorf("%d: %d, %v", i, n, err)
			}
		})
	}
	wg.Wait()
	if got, _ := os.ReadFile(name); string(got) != "begin01234567" {
		t.Errorf("%q", got)
	}
	f.Close()
	if n, err := a.WriteAt([]byte("x"), 8); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := a.WriteAt([]byte("y"), 9); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestWritesThatTheGateDoesNotKnow: a client that writes to what was not opened is
// told, and one that hides what it opens is left; none waits for ever.
func TestWritesThatTheGateDoesNotKnow(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "begin")
	w, _ := newWire(t, shell.Files{}, dir)
	for range 20 { // more than there are workers
		kind, f := w.ask(typeWrite, func(p packet) packet { return p.text("1").long(1 << 40).text("x") })
		if code := f.number(); kind != typeStatus || code != 4 {
			t.Fatalf("a write to no file: kind %d, code %d", kind, code)
		}
	}
	handle := w.open("f", 2|4)
	if kind, f := w.ask(typeWrite, func(p packet) packet { return p.text(handle).long(1 << 40).text("more") }); kind != typeStatus || f.number() != 0 {
		t.Errorf("kind %d", kind)
	}
	if kind, f := w.ask(typeClose, func(p packet) packet { return p.text(handle) }); kind != typeStatus || f.number() != 0 {
		t.Errorf("kind %d", kind)
	}
	if kind, f := w.ask(typeWrite, func(p packet) packet { return p.text(handle).long(0).text("late") }); kind != typeStatus || f.number() != 4 {
		t.Errorf("a write after the close: kind %d", kind)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "f")); string(got) != "beginmore" {
		t.Errorf("%q", got)
	}
	for name, packets := range map[string][]packet{
		"two with one number": {newPacket(typeOpen, 7).text("f").number(2 | 4).number(0), newPacket(typeOpen, 7).text("f").number(2).number(0)},
		"a large open":        {newPacket(typeOpen, 8).text("f").number(2 | 4).number(0).text(strings.Repeat("x", maxLooked))},
		"a large close":       {newPacket(typeClose, 9).text("1").text(strings.Repeat("x", maxLooked))},
	} {
		var sent []byte
		for _, p := range packets {
			sent = append(sent, p.done()...)
		}
		g := newGate(bytes.NewReader(sent), &closing{}, nil)
		g.over = true // nobody answers
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{g}); !errors.Is(err, errUnseen) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// known is what a gate passes on of what is sent to it with one file open, h: all
// but writes to others.
func known(sent []byte) (passed []byte) {
	open := true
	for len(sent) >= 4 {
		size := 4 + int(binary.BigEndian.Uint32(sent))
		if size == 4 || size > 4+maxPacket {
			passed, sent = append(passed, sent[:4]...), sent[4:]
			continue
		}
		if len(sent) < size {
			break
		}
		packet := sent[:size]
		sent = sent[size:]
		f := &fields{rest: packet[5:]}
		f.number()
		handle := f.text()
		if packet[4] == typeClose && !f.short && handle == "h" {
			open = false
		}
		f.take(8 + 4)
		if packet[4] != typeWrite || f.short || len(handle) > maxHandle || handle == "h" && open {
			passed = append(passed, packet...)
		}
	}
	return append(passed, sent...)
}

// FuzzGateReads: whatever a client sends, package sftp gets the same but for the
// offsets of what is appended and for writes to no file, and what is cut short is
// told.
func FuzzGateReads(f *testing.F) {
	whole := newPacket(typeWrite, 1).text("h").long(77).text("data").done()
	f.Add(whole, uint8(3))
	f.Add(whole[:len(whole)-1], uint8(1))
	f.Add(newPacket(typeWrite, 1).text("h").long(77).number(9999).done(), uint8(1))
	f.Add(newPacket(typeWrite, 1).text(strings.Repeat("h", 300)).long(77).text("data").done(), uint8(1))
	f.Add([]byte{0, 0, 0, 2, typeWrite, 0}, uint8(9))
	f.Add(append(newPacket(typeClose, 1).text("h").done(), whole...), uint8(7))
	f.Add(append(newPacket(typeWrite, 1).text("other").long(77).text("data").done(), whole...), uint8(7))
	f.Fuzz(func(t *testing.T, sent []byte, size uint8) {
		read := func(appends bool) ([]byte, error) {
			g := newGate(bytes.NewReader(sent), &closing{}, func(*gate, uint32, string, *fields) []byte { return nil })
			g.over = true // nobody answers
			g.files["h"] = &opened{name: "f", appends: appends}
			var got []byte
			p := make([]byte, int(size)+1)
			for {
				n, err := g.Read(p)
				got = append(got, p[:n]...)
				if err != nil {
					return got, err
				}
			}
		}
		plain, err := read(false)
		if want := known(sent); !bytes.HasPrefix(want, plain) || err == io.EOF && len(plain) != len(want) {
			t.Fatalf("%q came as %q, want %q, %v", sent, plain, want, err)
		}
		numbered, err2 := read(true)
		if err2 != err || len(numbered) != len(plain) {
			t.Fatalf("%d bytes and %v, %d and %v where it appends", len(plain), err, len(numbered), err2)
		}
	})
}
