package copying

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func noise(seed int64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// What an earlier attempt has left is gone on with when it is the beginning of
// this file, and is written anew when it is not.
func TestAnEarlierAttemptIsGoneOnWith(t *testing.T) {
	const whole, had = 5 << 20, 3 << 20
	data := noise(1, whole)
	elsewhere := bytes.Clone(data[:had])
	elsewhere[17] ^= 1 // far from where it goes on
	late := bytes.Clone(data[:had])
	late[had-5] ^= 1
	for name, c := range map[string]struct {
		part    []byte
		resumed int64
		read    int64 // at least
	}{
		"its beginning":         {data[:had], had, whole - had},
		"all of it":             {data, whole, 0},
		"of another file, late": {late, 0, whole},
		"of another file":       {elsewhere, 0, whole},
		"of a longer one":       {append(bytes.Clone(data), 'x'), 0, whole},
		"nothing":               {nil, 0, whole},
	} {
		for by, copy := range ways() {
			from, to := filepath.Join(t.TempDir(), "f"), t.TempDir()
			write(t, from, string(data), 0o640)
			if c.part != nil {
				write(t, filepath.Join(to, partName("f")), string(c.part), 0o600)
			}
			write(t, to+"/f", "the one before", 0o644)
			watch, err := copy(t, Options{Count: true}, to, from)
			if err != nil || len(watch.problems) > 0 || watch.resumed != c.resumed && by != "between" || watch.moved < c.read {
				t.Errorf("%s, %s: %v, %+v", name, by, err, watch)
			}
			if got, err := os.ReadFile(to + "/f"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, %s: %d bytes, %v", name, by, len(got), err)
			}
			if list, _ := os.ReadDir(to); len(list) != 1 {
				t.Errorf("%s, %s: there is %v", name, by, list)
			}
		}
	}
}

// cutting ends a stream after some bytes.
type cutting struct {
	in   io.Reader
	left int
}

func (c *cutting) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("cut")
	}
	n, err := c.in.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// Every attempt is cut, and brings more than the one before it had.
func TestCutAgainAndAgain(t *testing.T) {
	from, to := odd(t), filepath.Join(t.TempDir(), "to")
	write(t, from+"/larger", string(noise(2, 9<<20)), 0o644)
	t.Cleanup(func() { _ = os.Chmod(to+"/readonly", 0o755) })
	for attempt := 1; ; attempt++ {
		p, wait := serving(t, everywhere("/"))
		peer, err := AskToSend(&cutting{p.fromServer[0], 2<<20 + 4567}, p.toServer[1], []string{from + "/."}, Options{Update: true})
		watch := newSeen()
		if err == nil {
			err = peer.Receive(t.Context(), Everywhere{}, to, watch)
		}
		p.fromServer[0].Close()
		p.toServer[1].Close()
		_ = wait()
		if err == nil {
			t.Logf("%d attempts", attempt)
			break
		}
		if len(watch.problems) > 0 || attempt > 40 {
			t.Fatalf("attempt %d: %v, %+v", attempt, err, watch)
		}
	}
	sameTree(t, from, to)
}

// A file that changes while it is read is not passed off as a copy; one that grows
// is copied as far as it was.
func TestFilesThatChangeWhileTheyAreRead(t *testing.T) {
	data := noise(3, 4<<20)
	for name, c := range map[string]struct {
		change  func(f *os.File) error
		problem string
		warning string
		arrives int
	}{
		"shrinks": {change: func(f *os.File) error { return f.Truncate(1 << 20) }, problem: errShrank.Error(), arrives: -1},
		"changes": {change: func(f *os.File) error {
			_, err := f.WriteAt([]byte("changed"), 3<<20)
			return errors.Join(err, os.Chtimes(f.Name(), time.Now(), time.Now().Add(time.Second)))
		}, problem: errChanged.Error(), arrives: -1},
		"grows": {change: func(f *os.File) error {
			_, err := f.WriteAt([]byte("more"), 4<<20)
			return err
		}, warning: grewText(4 << 20), arrives: 4 << 20},
	} {
		from, to := filepath.Join(t.TempDir(), "f"), t.TempDir()
		write(t, from, string(data), 0o644)
		p, wait := serving(t, everywhere("/"))
		watch := newSeen()
		// The pipe holds less than the file, so that it is being read.
		in := &hooked{Reader: p.fromServer[0], after: 1 << 20, do: func() {
			f, err := os.OpenFile(from, os.O_RDWR, 0)
			if err == nil {
				err = c.change(f)
				f.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}}
		peer, err := AskToSend(in, p.toServer[1], []string{from}, Options{})
		if err == nil {
			err = peer.Receive(t.Context(), Everywhere{}, to, watch)
		}
		p.toServer[1].Close()
		if werr := wait(); err != nil || werr != nil {
			t.Errorf("%s: %v, %v", name, err, werr)
		}
		if strings.Join(watch.problems, "") != prefixed("f: ", c.problem) || strings.Join(watch.warnings, "") != prefixed("f: ", c.warning) {
			t.Errorf("%s: %+v", name, watch)
		}
		got, err := os.ReadFile(to + "/f")
		if c.arrives < 0 && !errors.Is(err, os.ErrNotExist) || c.arrives >= 0 && !bytes.Equal(got, data[:c.arrives]) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// hooked does something once, when some bytes have come.
type hooked struct {
	io.Reader
	after int
	do    func()
	once  sync.Once
}

func (h *hooked) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if h.after -= n; h.after < 0 {
		h.once.Do(h.do)
	}
	return n, err
}

// Two copies to one place disturb neither each other nor who reads there.
func TestTwoCopiesToOnePlace(t *testing.T) {
	to := t.TempDir()
	var sums [2][sha256.Size]byte
	var group sync.WaitGroup
	var froms [2]string
	for i := range froms {
		froms[i] = filepath.Join(t.TempDir(), "tree")
		for _, name := range []string{"/small", "/a/small", "/large", "/a/large"} {
			size := 3000
			if strings.HasSuffix(name, "large") {
				size = 3 << 20
			}
			write(t, froms[i]+name, string(noise(int64(i), size)), 0o644)
		}
		sums[i] = sha256.Sum256(noise(int64(i), 3<<20))
	}
	for i := range froms {
		group.Go(func() {
			for range 5 {
				if watch, err := push(t, everywhere("/"), Options{}, to, froms[i]+"/."); err != nil || len(watch.problems) > 0 {
					t.Errorf("%v, %+v", err, watch)
				}
				for _, name := range []string{"/large", "/a/large"} {
					got, err := os.ReadFile(to + name)
					if sum := sha256.Sum256(got); err != nil || sum != sums[0] && sum != sums[1] {
						t.Errorf("%s: %d bytes that nobody sent, %v", name, len(got), err)
					}
				}
			}
		})
	}
	group.Wait()
	left, _ := filepath.Glob(to + "/.*agent-part")
	if more, _ := filepath.Glob(to + "/a/.*agent-part"); len(left)+len(more) > 0 {
		t.Errorf("%v %v are left", left, more)
	}
}

// A copy that hears nothing lets another one have what it began, and does not
// write into it when it hears more.
func TestWhoHearsNothingLetsGo(t *testing.T) {
	d, err := openDirectory(Everywhere{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.release()
	var patient atomic.Bool
	first, err := claim(t.Context(), d, "f", &patient)
	if err != nil {
		t.Fatal(err)
	}
	defer first.file.Close()
	if err := first.writing(0, func() error { _, err := first.file.WriteString("begun"); return err }); err != nil {
		t.Fatal(err)
	}
	// One that lives is not disturbed.
	second, err := claim(t.Context(), d, "f", &patient)
	if err != nil || second.name == first.name {
		t.Fatalf("%+v, %v", second, err)
	}
	second.discard()
	// One that is dead for now comes back, and goes on.
	first.loosen()
	if err := first.writing(5, func() error { return nil }); err != nil {
		t.Error(err)
	}
	first.loosen()
	third, err := claim(t.Context(), d, "f", &patient)
	if err != nil || third.name != first.name || third.size != 5 {
		t.Fatalf("%+v, %v", third, err)
	}
	if err := first.writing(5, func() error { t.Error("it writes"); return nil }); !errors.Is(err, errTaken) {
		t.Errorf("%v", err)
	}
	if err := third.place(&record{mode: 0o644, size: 5}, false); err != nil {
		t.Error(err)
	}
	first.loosen()
	if err := first.writing(5, func() error { t.Error("it writes"); return nil }); !errors.Is(err, errTaken) {
		t.Errorf("%v", err)
	}
	// Who waits is told when there is nothing to wait for.
	fourth, err := claim(t.Context(), d, "f", &patient)
	if err != nil {
		t.Fatal(err)
	}
	defer fourth.discard()
	patient.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := claim(ctx, d, "f", &patient); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", p, err)
	}
}

// Between the making of a file and its locking another copy may take it, finish it
// and let it go: it is that one's then, under its name, and not to be written to.
func TestWhatWasMadeAndTakenIsLeftAlone(t *testing.T) {
	d, err := openDirectory(Everywhere{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.release()
	p := &part{dir: d, name: partName("f"), as: "f"}
	made, err := d.create(p.name)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	var patient atomic.Bool
	other, err := claim(t.Context(), d, "f", &patient)
	if err != nil || other.name != p.name {
		t.Fatalf("%+v, %v", other, err)
	}
	if err := other.place(&record{mode: 0o644}, false); err != nil {
		t.Fatal(err)
	}
	if got := p.hold(made); got == taken {
		t.Error("what has its name is taken for a part")
	}
}

// As many files are under way as either side may have open.
func TestOffersFitWhoTakesThem(t *testing.T) {
	for files, want := range map[uint64]int{0: 8, 700: 175, 1024: 256, 1 << 20: maxOffers, 1 << 63: maxOffers} {
		if got := offersFor(files); got != want {
			t.Errorf("%d open files: %d offers, want %d", files, got, want)
		}
	}
	from := t.TempDir()
	for i := range 20 {
		write(t, fmt.Sprint(from, "/", i), strings.Repeat("x", maxInline+1), 0o644)
	}
	const takes = 3
	open, most := 0, 0
	in, out, end := exchange(t, func(in *reader, out *writer) {
		_ = out.put(&record{kind: kindReady, count: takes})
		_ = out.flush()
		for {
			r, b, err := in.next()
			if b != nil {
				b.release()
			}
			if err != nil {
				return
			}
			switch r.kind {
			case kindOffer:
				open++
				most = max(most, open)
				if open == takes {
					for ; open > 0; open-- {
						_ = out.put(&record{kind: kindSkip, id: r.id - uint64(open) + 1})
					}
					_ = out.flush()
				}
			case kindLeave:
				for ; open > 0; open-- {
					_ = out.put(&record{kind: kindSkip, id: 20 - uint64(open) + 1})
				}
				_ = out.flush()
			case kindFinish:
				_ = out.put(&record{kind: kindFinished})
				return
			}
		}
	})
	watch := newSeen()
	peer, err := AskToReceive(in, out, "to", Options{})
	if err == nil {
		err = peer.Send(t.Context(), Everywhere{}, []string{from}, watch)
	}
	end()
	if err != nil || watch.did[Unchanged] != 20 || most != takes {
		t.Errorf("%v, %+v; %d offers at once", err, watch, most)
	}
}
