package sftpd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"shellagent/shell"
)

// wire speaks in packets to a server.
type wire struct {
	t   *testing.T
	in  io.WriteCloser
	out io.Reader
	id  uint32
}

func newWire(t *testing.T, rights shell.Files, start string) (w *wire, version *fields) {
	t.Helper()
	fromServer, toServer, _ := served(t, rights, start)
	w = &wire{t: t, in: toServer, out: fromServer}
	w.send(packet{0, 0, 0, 0, 1}.number(3))
	kind, f := w.receive()
	if kind != typeVersion || f.number() != 3 {
		t.Fatalf("it answers %d", kind)
	}
	return w, f
}

func (w *wire) send(p packet) {
	w.t.Helper()
	if _, err := w.in.Write(p.done()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) receive() (kind byte, f *fields) {
	w.t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(w.out, head[:]); err != nil {
		w.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-1)
	if _, err := io.ReadFull(w.out, body); err != nil {
		w.t.Fatal(err)
	}
	return head[4], &fields{rest: body}
}

// ask sends a request and returns its answer.
func (w *wire) ask(kind byte, rest func(packet) packet) (byte, *fields) {
	w.t.Helper()
	w.id++
	w.send(rest(newPacket(kind, w.id)))
	answer, f := w.receive()
	if id := f.number(); id != w.id {
		w.t.Fatalf("request %d is answered with %d", w.id, id)
	}
	return answer, f
}

// extended asks for an extension that is answered by a status, which it returns.
func (w *wire) extended(name string, rest func(packet) packet) uint32 {
	w.t.Helper()
	kind, f := w.ask(typeExtended, func(p packet) packet { return rest(p.text(name)) })
	if kind != typeStatus {
		w.t.Fatalf("%s: kind %d", name, kind)
	}
	return f.number()
}

// open flags are read 1, write 2, append 4, create 8, truncate 16.
func (w *wire) open(name string, flags uint32) (handle string) {
	w.t.Helper()
	kind, f := w.ask(typeOpen, func(p packet) packet { return p.text(name).number(flags).number(0) })
	if kind != typeHandle {
		w.t.Fatalf("open %s: kind %d, code %d", name, kind, f.number())
	}
	return f.text()
}

func TestExtensions(t *testing.T) {
	base := t.TempDir()
	for name, rights := range kinds(base) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(base, name)
			write(t, filepath.Join(dir, "f"), "0123456789")
			if err := os.Symlink("f", filepath.Join(dir, "s")); err != nil {
				t.Fatal(err)
			}
			w, version := newWire(t, rights, dir)
			said := map[string]bool{}
			for len(version.rest) > 0 {
				said[version.text()] = true
				version.text()
			}
			for _, e := range extensions {
				if !said[e[0]] {
					t.Errorf("%s is not announced", e[0])
				}
			}
			if !said["posix-rename@openssh.com"] || !said["statvfs@openssh.com"] {
				t.Errorf("package sftp's are gone: %v", said)
			}

			kind, f := w.ask(typeExtended, func(p packet) packet { return p.text("limits@openssh.com") })
			if packets, read, written := f.long(), f.long(), f.long(); kind != typeReply || packets != maxPacket || read != maxData || written != maxData || f.short {
				t.Errorf("limits: %d %d %d", packets, read, written)
			}

			from, to := w.open("f", 1), w.open(filepath.Join(dir, "copy"), 2|8|16)
			copying := func(at, length, offset uint64) uint32 {
				return w.extended("copy-data", func(p packet) packet { return p.text(from).long(at).long(length).text(to).long(offset) })
			}
			if a, b := copying(2, 3, 1), copying(8, 0, 4); a != 0 || b != 0 {
				t.Errorf("copy-data: %d %d", a, b)
			}
			if code := w.extended("fsync@openssh.com", func(p packet) packet { return p.text(to) }); code != 0 {
				t.Errorf("fsync: %d", code)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "copy")); string(got) != "\x0023489" {
				t.Errorf("copied %q", got)
			}
			for what, refused := range map[string]uint32{
				"onto itself":      w.extended("copy-data", func(p packet) packet { return p.text(from).long(0).long(0).text(from).long(20) }),
				"no such handle":   w.extended("copy-data", func(p packet) packet { return p.text(from).long(0).long(0).text("99").long(0) }),
				"a huge offset":    copying(1<<63, 0, 0),
				"half a request":   w.extended("copy-data", func(p packet) packet { return p.text(from).long(0) }),
				"sync of nothing":  w.extended("fsync@openssh.com", func(p packet) packet { return p.text("99") }),
				"sync of a handle": w.extended("fsync@openssh.com", func(p packet) packet { return p }),
				"what nobody has":  w.extended("no-such@example.org", func(p packet) packet { return p }),
			} {
				if refused == 0 {
					t.Errorf("%s succeeded", what)
				}
			}
			if kind, f := w.ask(typeClose, func(p packet) packet { return p.text(to) }); kind != typeStatus || f.number() != 0 {
				t.Error("close failed")
			}
			if copying(0, 0, 0) == 0 {
				t.Error("a handle that is closed was copied to")
			}

			mode := func(name string, mode uint32) uint32 {
				return w.extended("lsetstat@openssh.com", func(p packet) packet { return p.text(name).number(hasMode).number(mode) })
			}
			if a, b := mode("f", 0o600), mode("s", 0o777); a != 0 || b != 8 {
				t.Errorf("lsetstat of a file and of a link: %d %d", a, b)
			}
			if info, _ := os.Stat(filepath.Join(dir, "f")); info.Mode() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			own := func(p packet) packet {
				return p.text("s").number(hasOwner).number(uint32(os.Getuid())).number(uint32(os.Getgid()))
			}
			if code := w.extended("lsetstat@openssh.com", own); code != 0 {
				t.Errorf("the owner of a link: %d", code)
			}
			if code := mode("missing", 0o600); code != 2 {
				t.Errorf("lsetstat of nothing: %d", code)
			}
		})
	}
}

// TestAnswersComeBeforeTheEnd: who asks and ends its input is answered all the same.
func TestAnswersComeBeforeTheEnd(t *testing.T) {
	for range 50 {
		hello := append(packet{0, 0, 0, 0, 1}.number(3).done(), newPacket(typeExtended, 7).text("limits@openssh.com").done()...)
		hello = append(hello, newPacket(17, 8).text("/").done()...) // SSH_FXP_STAT
		var got closing
		if err := Serve(bytes.NewReader(hello), &got, shell.Files{}, "/"); err != nil {
			t.Fatal(err)
		}
		var kinds []byte
		for in := (&fields{rest: got.Bytes()}); len(in.rest) > 0 && !in.short; {
			if body := in.take(int(in.number())); len(body) > 0 {
				kinds = append(kinds, body[0])
			}
		}
		if len(kinds) != 3 || !bytes.Contains(kinds, []byte{typeVersion}) || !bytes.Contains(kinds, []byte{typeReply}) || !bytes.Contains(kinds, []byte{105}) {
			t.Fatalf("answers of the kinds %v", kinds)
		}
	}
}

func TestPathsAndPeople(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	expand := func(w *wire, extension, typed string) (string, byte) {
		kind, f := w.ask(typeExtended, func(p packet) packet { return p.text(extension).text(typed) })
		if f.number(); kind != typeName {
			return "", kind
		}
		return f.text(), kind
	}
	w, _ := newWire(t, shell.Files{}, "/")
	for typed, want := range map[string]string{
		"~": dir, "~/": dir, "~/a/../b": dir + "/b", "/x/~": "/x/~", "relative": "/relative", "~no-such-user/x": "", "~" + me.Username + "/x": me.HomeDir + "/x",
	} {
		if got, _ := expand(w, "expand-path@openssh.com", typed); got != want {
			t.Errorf("%s is %q, want %q", typed, got, want)
		}
	}
	if got, _ := expand(w, "home-directory", me.Username); got != me.HomeDir {
		t.Errorf("home: %q", got)
	}
	uid, _ := strconv.Atoi(me.Uid)
	ids := string(packet{}.number(uint32(uid)).number(4294967295))
	kind, f := w.ask(typeExtended, func(p packet) packet { return p.text("users-groups-by-id@openssh.com").text(ids).text("") })
	names := &fields{rest: []byte(f.text())}
	if a, b := names.text(), names.text(); kind != typeReply || a != me.Username || b != "" {
		t.Errorf("names %q %q", a, b)
	}

	// Where some directories alone are served, nothing is told of who else is there.
	w, _ = newWire(t, shell.Files{Paths: []string{dir}}, dir)
	if got, _ := expand(w, "expand-path@openssh.com", "~/x"); got != dir+"/x" {
		t.Errorf("limited: ~/x is %q", got)
	}
	if got, kind := expand(w, "expand-path@openssh.com", "~"+me.Username); kind != typeStatus {
		t.Errorf("limited: somebody's home is %q", got)
	}
	if kind, _ := w.ask(typeExtended, func(p packet) packet { return p.text("users-groups-by-id@openssh.com").text(ids).text("") }); kind != typeStatus {
		t.Errorf("limited: names are told")
	}
}

func TestExtensionsKeepToTheRights(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in", "f"), "in")
	write(t, filepath.Join(dir, "secret"), "secret")
	if err := os.Symlink("../secret", filepath.Join(dir, "in", "out")); err != nil {
		t.Fatal(err)
	}
	read := shell.Files{ReadOnly: true}
	w, _ := newWire(t, read, dir)
	handle := w.open("in/f", 1)
	if code := w.extended("copy-data", func(p packet) packet { return p.text(handle).long(0).long(0).text("9").long(0) }); code != 3 {
		t.Errorf("read-only: copy-data: %d", code)
	}
	if code := w.extended("lsetstat@openssh.com", func(p packet) packet { return p.text("in/f").number(hasMode).number(0o777) }); code != 3 {
		t.Errorf("read-only: lsetstat: %d", code)
	}
	w, _ = newWire(t, shell.Files{Paths: []string{filepath.Join(dir, "in")}}, dir)
	for _, name := range []string{dir + "/secret", dir + "/in/../secret", "../secret"} {
		if code := w.extended("lsetstat@openssh.com", func(p packet) packet { return p.text(name).number(hasMode).number(0o777) }); code == 0 {
			t.Errorf("%s was changed", name)
		}
	}
	// A file that is exchanged for a link while it is open leads nowhere.
	handle = w.open("f", 1|2)
	target := w.open("new", 2|8)
	if err := errors.Join(os.Remove(dir+"/in/f"), os.Symlink("../secret", dir+"/in/f")); err != nil {
		t.Fatal(err)
	}
	if code := w.extended("copy-data", func(p packet) packet { return p.text(handle).long(0).long(0).text(target).long(0) }); code == 0 {
		t.Error("a link that leads out was followed")
	}
}

// FuzzGate: whatever pieces a server's packets come in, the client gets them whole,
// and an answer of the gate's stands between two.
func FuzzGate(f *testing.F) {
	f.Add([]byte("abc"), []byte{3, 1, 200}, uint8(2))
	f.Add(bytes.Repeat([]byte("x"), 5000), []byte{0}, uint8(0))
	f.Fuzz(func(t *testing.T, data, sizes []byte, at uint8) {
		var got closing
		g := newGate(strings.NewReader(""), &got, nil)
		packets := [][]byte{
			newPacket(typeHandle, 1).text("h").done(), append(newPacket(103, 2).text(string(data)), 0).done(), newPacket(typeStatus, 3).number(0).text("").text("").done(),
		}
		all := bytes.Join(packets, nil)
		reply := newPacket(typeReply, 9).done()
		for i, rest := 0, all; len(rest) > 0; i++ {
			n := 1
			if len(sizes) > 0 {
				n = min(len(rest), max(1, int(sizes[i%len(sizes)])))
			}
			if _, err := g.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			if rest = rest[n:]; i == int(at) {
				_ = g.send(reply)
			}
		}
		seen := 0
		in := &fields{rest: got.Bytes()}
		var others []byte
		for len(in.rest) > 0 && !in.short {
			length := in.number()
			body := in.take(int(length))
			whole := append(binary.BigEndian.AppendUint32(nil, length), body...)
			if bytes.Equal(whole, reply) {
				seen++
				continue
			}
			others = append(others, whole...)
		}
		if in.short || !bytes.Equal(others, all) || seen > 1 {
			t.Fatalf("%d bytes of %d, %d answers", len(others), len(all), seen)
		}
	})
}

type closing struct{ bytes.Buffer }

func (*closing) Close() error { return nil }
