package front

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// guests are a listener with room for a few, and those who came.
type guests struct {
	t        *testing.T
	listener *limitedListener
}

func newGuests(t *testing.T, limit int, shared ...netip.Prefix) *guests {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &guests{t, &limitedListener{TCPListener: l.(*net.TCPListener), clients: newClients(limit, shared)}}
	t.Cleanup(func() { g.listener.Close() })
	return g
}

// guest is both ends of a connection.
type guest struct {
	far  net.Conn
	near *client
}

// dial comes from an address of the loopback network.
func (g *guests) dial(from string) net.Conn {
	g.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", g.listener.Addr().String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

func (g *guests) come(from string) guest {
	g.t.Helper()
	far := g.dial(from)
	near, err := g.listener.Accept()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { near.Close() })
	return guest{far, near.(*client)}
}

// gone says whether the agent has closed the connection.
func (g *guests) gone(who guest) bool {
	g.t.Helper()
	who.far.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := who.far.Read(make([]byte, 1))
	if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
		g.t.Fatalf("read: %v", err)
	}
	return errors.Is(err, io.EOF)
}

func (g *guests) want(names []string, all map[string]guest, stay string) {
	g.t.Helper()
	for _, name := range names {
		if stays := !g.gone(all[name]); stays != strings.Contains(stay, name) {
			g.t.Errorf("%s stays: %v", name, stays)
		}
	}
}

func TestTheOldestStrangerMakesRoom(t *testing.T) {
	g := newGuests(t, 4)
	all := map[string]guest{}
	for i, name := range []string{"a", "b", "c", "d"} {
		all[name] = g.come([]string{"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"}[i])
	}
	all["a"].near.Proven()
	all["a"].near.Proven() // once is what counts
	all["e"] = g.come("127.0.1.5")
	all["f"] = g.come("127.0.1.6")
	g.want([]string{"a", "b", "c", "d", "e", "f"}, all, "adef")
	if g.listener.clients.count != 4 {
		t.Errorf("%d connections count", g.listener.clients.count)
	}
}

func TestOneAddressPushesOutItsOwn(t *testing.T) {
	g := newGuests(t, 8)
	all := map[string]guest{"a": g.come("127.0.1.1"), "b": g.come("127.0.1.2")}
	all["b"].near.Proven()
	for _, name := range []string{"c", "d", "e", "f", "g", "h"} {
		all[name] = g.come("127.0.1.2") // as b, which is no stranger
	}
	g.want([]string{"a", "b", "c", "d", "e", "f", "g", "h"}, all, "abefgh")
}

func TestProxiesShareNoAddress(t *testing.T) {
	g := newGuests(t, 4, netip.MustParsePrefix("127.0.1.0/24"))
	all := map[string]guest{}
	for _, name := range []string{"a", "b", "c", "d"} {
		all[name] = g.come("127.0.1.1")
	}
	g.want([]string{"a", "b", "c", "d"}, all, "abcd")
	all["e"] = g.come("127.0.1.1")
	g.want([]string{"a", "b", "c", "d", "e"}, all, "bcde")
}

func TestWhenNobodyCanMakeRoomOthersWait(t *testing.T) {
	g := newGuests(t, 2)
	first, second := g.come("127.0.1.1"), g.come("127.0.1.2")
	first.near.Proven()
	second.near.Proven()
	g.dial("127.0.1.3")
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		if c, err := g.listener.Accept(); err == nil {
			accepted <- c
		}
	}()
	select {
	case <-accepted:
		t.Fatal("a third connection was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	first.near.Close()
	first.near.Close() // once is what counts
	third := <-accepted
	if g.listener.clients.count != 2 {
		t.Errorf("%d connections count", g.listener.clients.count)
	}
	third.(*client).Proven()
	ended := make(chan error, 1)
	go func() { _, err := g.listener.Accept(); ended <- err }()
	g.listener.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener that waits was closed with %v", err)
	}
	third.Close()
	second.near.Close()
	if c := g.listener.clients; c.count != 0 || c.strangers.Len() != 0 || len(c.from) != 0 {
		t.Errorf("an empty house counts %d, %d strangers from %d addresses", c.count, c.strangers.Len(), len(c.from))
	}
}
