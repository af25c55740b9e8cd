package copying

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// said are records as a stream, behind what their side says first.
func said(greet bool, records ...record) io.Reader {
	var b []byte
	if greet {
		b = append(b, greeting...)
	}
	for i := range records {
		b = records[i].append(b)
	}
	return bytes.NewReader(b)
}

func small(name, text string) record {
	return record{kind: kindFile, id: 1, name: name, mode: 0o644, sum: sha256.Sum256([]byte(text)), data: []byte(text)}
}

// receiveAll has a client receive what a server says that believes in nothing.
func receiveAll(t *testing.T, to string, records ...record) (*seen, error) {
	t.Helper()
	watch := newSeen()
	peer, err := AskToSend(said(true, append([]record{{kind: kindReady, count: 1}}, records...)...), io.Discard, []string{"*", "."}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return watch, peer.Receive(t.Context(), Everywhere{}, to, watch)
}

// A server that is to send puts nothing anywhere but below the destination.
func TestNoNameLeadsOut(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/victim/file", "whole", 0o644)
	for i, records := range [][]record{
		{small("../victim/file", "bad")},
		{small("..", "bad")}, {small(".", "bad")}, {small("", "bad")}, {small("a/b", "bad")}, {small("/"+base+"/victim/file", "bad")},
		{small(base+"/victim/file", "bad")}, {small("nul\x00", "bad")}, {small(strings.Repeat("n", 256), "bad")}, {small(".x.agent-part", "bad")},
		{{kind: kindDir, name: "../victim", mode: 0o777}, small("file", "bad"), {kind: kindLeave}},
		{{kind: kindDir, name: "..", mode: 0o777}, small("file", "bad"), {kind: kindLeave}},
		{{kind: kindDir, name: base + "/victim", mode: 0o777}, small("file", "bad"), {kind: kindLeave}},
		{{kind: kindDir, name: "ok", mode: 0o777}, {kind: kindDir, mode: 0o777}, small("file", "bad"), {kind: kindLeave}, {kind: kindLeave}},
		// First a link, then something through it.
		{{kind: kindSymlink, name: "l", text: "../victim"}, {kind: kindDir, name: "l", mode: 0o700}, small("file", "bad"), {kind: kindLeave}},
		{{kind: kindSymlink, name: "l", text: base + "/victim"}, {kind: kindDir, name: "l", mode: 0o700}, {kind: kindSymlink, name: "file", text: "bad"}, {kind: kindLeave}},
		// Under the name that a file has until it is whole.
		{{kind: kindSymlink, name: ".file.agent-part", text: "../victim/file"}, small("file", "bad")},
	} {
		to := filepath.Join(base, fmt.Sprint("to", i))
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		watch, err := receiveAll(t, to, append(records, record{kind: kindFinish})...)
		if err != nil || len(watch.problems) == 0 {
			t.Errorf("%d: %v, %+v", i, err, watch)
		}
		if info, err := os.Stat(base + "/victim"); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%d: %v, %v", i, info, err)
		}
	}
	if got := listed(t, base+"/victim"); !strings.HasPrefix(got, "\nfile|f|644|") {
		t.Errorf("%q", got)
	}
	if got, _ := os.ReadFile(base + "/victim/file"); string(got) != "whole" {
		t.Errorf("the file is %q", got)
	}
}

// What was not asked for is not taken: scp's clients once took it (CVE-2019-6111).
func TestOnlyWhatWasAskedForIsTaken(t *testing.T) {
	dir := record{kind: kindDir, mode: 0o755}
	for _, c := range []struct {
		asked  string
		record record
		ok     bool
	}{
		{"/etc/motd", small("motd", "x"), true}, {"/etc/motd", small(".bashrc", "x"), false}, {"motd/", small("motd", "x"), true},
		{"*.log", small("a.log", "x"), true}, {"*.log", small(".bashrc", "x"), false}, {"*", small(".bashrc", "x"), false}, {"*/x", small("x", "x"), true}, {"*/x", small("y", "x"), false},
		{"dir/.", dir, true}, {"dir", dir, false}, {"*", dir, false}, {"", dir, true}, {"~", dir, true}, {"..", dir, true}, {"~", small("f", "x"), false},
		{"dir", record{kind: kindDir, name: "dir", mode: 0o755}, true}, {"dir", record{kind: kindDir, name: ".ssh", mode: 0o755}, false},
		{"l", record{kind: kindSymlink, name: ".profile", text: "x"}, false}, {"[", small("[", "x"), true},
	} {
		records := []record{{kind: kindReady, count: 1}, c.record}
		if c.record.kind == kindDir {
			records = append(records, record{kind: kindLeave})
		}
		to, watch := t.TempDir(), newSeen()
		peer, err := AskToSend(said(true, append(records, record{kind: kindFinish})...), io.Discard, []string{c.asked}, Options{})
		if err == nil {
			err = peer.Receive(t.Context(), Everywhere{}, to, watch)
		}
		if list, _ := os.ReadDir(to); err != nil || (len(watch.problems) == 0) != c.ok || !c.ok && len(list) > 0 {
			t.Errorf("%q: %q: %v, %+v, %v", c.asked, c.record.name, err, watch, list)
		}
		// On its way to another server it is not passed on.
		from, err := AskToSend(said(true, append(records, record{kind: kindFinish})...), io.Discard, []string{c.asked}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		dest, err := AskToReceive(said(true, record{kind: kindReady}, record{kind: kindFinished}), io.Discard, "to", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := Relay(t.Context(), from, dest, newSeen()); errors.Is(err, errRecord) == c.ok {
			t.Errorf("%q: %q: %v", c.asked, c.record.name, err)
		}
	}
}

// A link that somebody else left where a file is to be written is not written
// through, and is not a reason to fail.
func TestWhatWaitsUnderAPartsNameIsNotTrusted(t *testing.T) {
	base := t.TempDir()
	write(t, base+"/victim", "whole", 0o644)
	from := filepath.Join(base, "from")
	write(t, from+"/small", "s", 0o644)
	write(t, from+"/large", strings.Repeat("l", 2*maxInline), 0o644)
	for _, how := range []func(old, new string) error{os.Symlink, os.Link, func(_, name string) error { return os.Mkdir(name, 0o755) }} {
		to := t.TempDir()
		for _, name := range []string{"small", "large"} {
			if err := how(base+"/victim", filepath.Join(to, partName(name))); err != nil {
				t.Fatal(err)
			}
		}
		if watch, err := push(t, everywhere("/"), Options{}, to, from+"/."); err != nil || len(watch.problems) > 0 {
			t.Errorf("%v, %+v", err, watch)
		}
		for _, name := range []string{"small", "large"} {
			if err := os.RemoveAll(filepath.Join(to, partName(name))); err != nil {
				t.Error(err)
			}
		}
		sameTree(t, from, to)
	}
	if got, _ := os.ReadFile(base + "/victim"); string(got) != "whole" {
		t.Errorf("the file is %q", got)
	}
}

// Who sends what nobody announced, or more than that, is not listened to.
func TestAReceiverHoldsTheSenderToTheProtocol(t *testing.T) {
	offer := record{kind: kindOffer, id: 7, name: "f", mode: 0o644, size: 10}
	many := make([]record, 0, maxOffers+8)
	for i := range maxOffers + 8 {
		many = append(many, record{kind: kindOffer, id: uint64(i + 1), name: fmt.Sprint("f", i), size: 1 << 20})
	}
	deep := make([]record, 0, maxDepth+8)
	for range maxDepth + 8 {
		deep = append(deep, record{kind: kindDir, name: "d", mode: 0o755})
	}
	for name, records := range map[string][]record{
		"content of nothing":  {{kind: kindData, data: []byte("x")}},
		"the end of nothing":  {{kind: kindWhole}},
		"not asked for":       {{kind: kindBegin, id: 7}},
		"left too often":      {{kind: kindLeave}},
		"an answer":           {{kind: kindDone, id: 1}},
		"finished in a dir":   {{kind: kindDir, name: "d", mode: 0o755}, {kind: kindFinish}},
		"finished too early":  {offer, {kind: kindFinish}},
		"too many offers":     many,
		"too deep":            deep,
		"a request":           {{kind: kindRequest, paths: []string{"x"}}},
		"nothing at all":      {},
		"a directory, nested": {{kind: kindDir, name: "d", mode: 0o755}},
	} {
		to := t.TempDir()
		watch, err := receiveAll(t, to, records...)
		if !errors.Is(err, errRecord) && !errors.Is(err, errEnded) {
			t.Errorf("%s: %v, %+v", name, err, watch)
		}
	}
}

// exchange is a side that answers as it likes.
func exchange(t *testing.T, run func(in *reader, out *writer)) (io.Reader, io.Writer, func()) {
	t.Helper()
	p := newPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.fromServer[1].Close()
		in, out := newReader(p.toServer[0]), newWriter(p.fromServer[1])
		_ = in.greet()
		_, _, _ = in.next()
		_ = out.raw([]byte(greeting))
		run(in, out)
		_ = out.flush()
		_, _ = io.Copy(io.Discard, in.in)
	}()
	return p.fromServer[0], p.toServer[1], func() { p.toServer[1].Close(); <-done }
}

// What was sent is compared with what was read, and with what was announced.
func TestContentThatIsNotWhatItShouldBe(t *testing.T) {
	text := []byte("0123456789")
	good := sha256.Sum256(text)
	for name, c := range map[string]struct {
		records []record
		fatal   bool
	}{
		"another digest": {records: []record{{kind: kindData, data: []byte("012345678x")}, {kind: kindWhole, sum: good}}},
		"too short":      {records: []record{{kind: kindData, data: text[:9]}, {kind: kindWhole, sum: sha256.Sum256(text[:9])}}},
		"too long":       {records: []record{{kind: kindData, data: append(text[:10:10], 'x')}}, fatal: true},
		"a long hole":    {records: []record{{kind: kindHole, size: 11}}, fatal: true},
		"broken off":     {records: []record{{kind: kindData, data: text[:5]}, {kind: kindAbort, id: 7, name: "f", text: "it went away"}}},
		"another's end":  {records: []record{{kind: kindAbort, id: 8}}, fatal: true},
		"begun twice":    {records: []record{{kind: kindBegin, id: 7}}, fatal: true},
		"other in it":    {records: []record{small("g", "g")}, fatal: true},
	} {
		to := t.TempDir()
		write(t, to+"/f", "the old one", 0o644)
		in, out, end := exchange(t, func(in *reader, out *writer) {
			_ = out.put(&record{kind: kindReady, count: 1}, &record{kind: kindOffer, id: 7, name: "f", mode: 0o600, size: 10})
			_ = out.flush()
			want, _, err := in.next()
			if err != nil || want.kind != kindWant || want.id != 7 || want.size != 0 {
				t.Errorf("%s: %+v, %v", name, want, err)
			}
			_ = out.put(&record{kind: kindBegin, id: 7})
			for i := range c.records {
				_ = out.put(&c.records[i])
				if c.records[i].kind == kindWhole {
					_ = out.flush()
					if answer, _, err := in.next(); err != nil || answer.kind != kindFail || answer.id != 7 {
						t.Errorf("%s: %+v, %v", name, answer, err)
					}
				}
			}
			_ = out.put(&record{kind: kindFinish})
		})
		watch := newSeen()
		peer, err := AskToSend(in, out, []string{"dir/f"}, Options{})
		if err == nil {
			err = peer.Receive(t.Context(), Everywhere{}, to, watch)
		}
		end()
		if c.fatal != errors.Is(err, errRecord) || err == nil && len(watch.problems) != 1 {
			t.Errorf("%s: %v, %+v", name, err, watch)
		}
		if got, _ := os.ReadFile(to + "/f"); string(got) != "the old one" {
			t.Errorf("%s: the file is %q", name, got)
		}
	}
}

// A file that is there no more when it is wanted costs itself alone.
func TestWhatIsWantedAndGone(t *testing.T) {
	to := t.TempDir()
	write(t, filepath.Join(to, partName("f")), "earlier", 0o600)
	in, out, end := exchange(t, func(in *reader, out *writer) {
		_ = out.put(&record{kind: kindReady, count: 1}, &record{kind: kindOffer, id: 7, name: "f", mode: 0o600, size: 10})
		_ = out.flush()
		if want, _, err := in.next(); err != nil || want.size != 7 {
			t.Errorf("%+v, %v", want, err)
		}
		_ = out.put(&record{kind: kindAbort, id: 7, name: "f", text: "it is gone"}, &record{kind: kindFinish})
	})
	watch := newSeen()
	peer, err := AskToSend(in, out, []string{"dir/f"}, Options{})
	if err == nil {
		err = peer.Receive(t.Context(), Everywhere{}, to, watch)
	}
	end()
	if err != nil || len(watch.problems) != 1 {
		t.Errorf("%v, %+v", err, watch)
	}
	if got, _ := os.ReadFile(filepath.Join(to, partName("f"))); string(got) != "earlier" {
		t.Errorf("what was begun is %q", got)
	}
}

// A receiver that wants what it was not offered gets nothing.
func TestASenderHoldsTheReceiverToTheProtocol(t *testing.T) {
	from := t.TempDir()
	write(t, from+"/f", strings.Repeat("x", 2*maxInline), 0o644)
	for name, answers := range map[string][]record{
		"not offered":       {{kind: kindWant, id: 99}},
		"beyond its end":    {{kind: kindWant, id: 1, size: 2*maxInline + 1}},
		"again and again":   {{kind: kindWant, id: 1}, {kind: kindWant, id: 1}, {kind: kindWant, id: 1}},
		"finished too soon": {{kind: kindFinished}},
		"no answer":         {{kind: kindDir, name: "x"}},
	} {
		in, out, end := exchange(t, func(in *reader, out *writer) {
			_ = out.put(&record{kind: kindReady})
			_ = out.flush()
			for { // until it is offered
				r, b, err := in.next()
				if b != nil {
					b.release()
				}
				if err != nil || r.kind == kindOffer {
					break
				}
			}
			for i := range answers {
				_ = out.put(&answers[i])
			}
		})
		peer, err := AskToReceive(in, out, "to", Options{})
		if err == nil {
			err = peer.Send(t.Context(), Everywhere{}, []string{from}, newSeen())
		}
		end()
		if !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRecord: what is taken has one form.
func FuzzRecord(f *testing.F) {
	for _, r := range []record{
		small("name", "text"), {kind: kindDir, name: "d", mode: 0o755, sec: -5, nsec: 7}, {kind: kindRequest, paths: []string{"a", "\xff"}, flags: 3},
		{kind: kindSymlink, name: "l", text: "t"}, {kind: kindOffer, id: 1 << 40, name: "o", size: 1 << 50}, {kind: kindWant, id: 3, size: 4},
		{kind: kindWhole, flags: 1}, {kind: kindFail, id: 1, name: "n", text: "t"}, {kind: kindTotal, count: 1, size: 2}, {kind: kindHole, size: 9},
	} {
		b := r.append(nil)
		f.Add(b[0], b[recordHeader:])
	}
	f.Fuzz(func(t *testing.T, k byte, payload []byte) {
		if _, known := layouts[kind(k)]; !known {
			return
		}
		r, err := parseRecord(kind(k), payload)
		if err != nil {
			return
		}
		if again := r.append(nil); !bytes.Equal(again[recordHeader:], payload) {
			t.Errorf("%x printed is %x", payload, again[recordHeader:])
		}
	})
}

// FuzzServe: whatever a client says, the server ends, and touches nothing
// outside.
func FuzzServe(f *testing.F) {
	put := record{kind: kindRequest, flags: flagReceive, paths: []string{"to"}}
	get := record{kind: kindRequest, paths: []string{"."}}
	add := func(records ...record) {
		b, _ := io.ReadAll(said(true, records...))
		f.Add(b)
	}
	add(put, record{kind: kindDir, name: "d", mode: 0o755}, small("f", "x"), record{kind: kindLeave}, record{kind: kindFinish})
	add(put, record{kind: kindSymlink, name: "l", text: ".."}, record{kind: kindDir, name: "l"}, small("f", "x"))
	add(put, record{kind: kindOffer, id: 1, name: "f", size: 3}, record{kind: kindBegin, id: 1}, record{kind: kindData, data: []byte("abc")}, record{kind: kindWhole})
	add(get, record{kind: kindWant, id: 1}, record{kind: kindFinished})
	f.Fuzz(func(t *testing.T, in []byte) {
		base := t.TempDir()
		write(t, base+"/in/to/f", "x", 0o644)
		write(t, base+"/in/large", strings.Repeat("l", maxInline+1), 0o644)
		write(t, base+"/out", "outside", 0o644)
		s := Served{Place: below(t, base+"/in"), Start: "/", Home: "/"}
		_ = Serve(t.Context(), bytes.NewReader(in), io.Discard, s)
		if list, _ := os.ReadDir(base); len(list) != 2 {
			t.Errorf("there is %v", list)
		}
		if got, _ := os.ReadFile(base + "/out"); string(got) != "outside" {
			t.Errorf("what is outside is %q", got)
		}
	})
}

// below is a place that ends at a directory, which it calls /.
func below(t *testing.T, dir string) Place {
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return rooted{root}
}

type rooted struct{ *os.Root }

func (r rooted) in(name string) string {
	name = strings.TrimLeft(filepath.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

func (r rooted) OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	return r.Root.OpenFile(r.in(name), flag, perm)
}
func (r rooted) Stat(name string) (os.FileInfo, error)  { return r.Root.Stat(r.in(name)) }
func (r rooted) Lstat(name string) (os.FileInfo, error) { return r.Root.Lstat(r.in(name)) }
