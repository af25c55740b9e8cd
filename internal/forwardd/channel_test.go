package forwardd

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"shellagent/internal/forward"
)

// packets returns a connected pair of sockets that keep messages apart.
func packets(t *testing.T) (a, b *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// judge allows what goes to port 1 alone.
type judge struct{ ended chan End }

func (j judge) Judge(q Question) (Permit, *forward.Refusal) {
	if q.Port != 1 {
		return Permit{}, denied
	}
	return Permit{Lookup: q.Addresses == nil, Addresses: q.Addresses}, nil
}

func (j judge) Ended(q Question, e End) { j.ended <- e }

// answer is the agent's loop, which ends with the socket.
func answer(t *testing.T, conn *os.File, j Judge) {
	buf := make([]byte, MaxMessage)
	for {
		n, err := conn.Read(buf)
		if n == 0 || err != nil {
			return
		}
		reply, err := Answer(j, buf[:n])
		if err != nil {
			t.Error(err)
			return
		}
		if reply != nil {
			conn.Write(reply)
		}
	}
}

func TestChannel(t *testing.T) {
	helper, agent := packets(t)
	c := NewChannel(helper)
	j := judge{make(chan End, 1)}
	go answer(t, agent, j)
	addresses := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")}
	p, err := c.Ask(t.Context(), Question{Do: DoOpen, Kind: forward.TCP, Host: "a", Port: 1})
	if err != nil || !p.Lookup {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = c.Ask(t.Context(), Question{Do: DoOpen, Kind: forward.TCP, Host: "a", Port: 1, Addresses: addresses})
	if err != nil || p.Lookup || !slices.Equal(p.Addresses, addresses) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.Ask(t.Context(), Question{Do: DoOpen, Kind: forward.TCP, Port: 2}); code(err) != forward.CodeDenied || err.Error() != "not here" {
		t.Errorf("got %v", err)
	}
	end := End{FromClient: 1 << 60, ToClient: 2, Seconds: 0.5, Code: forward.CodeRefused, Broken: true}
	c.Ended(Question{Do: DoOpen, Kind: forward.TCP, Port: 1}, end)
	if got := <-j.ended; got != end {
		t.Errorf("%+v", got)
	}
	c.Ended(Question{}, End{Code: forward.CodeLimit, Never: true})
	if got := <-j.ended; got.Code != forward.CodeLimit || !got.Never {
		t.Errorf("%+v", got)
	}
	// Paths of any bytes that a header can bring, at their longest.
	if _, err := c.Ask(t.Context(), Question{Do: DoListen, Kind: forward.Unix, Path: "/" + strings.Repeat("\x01", 4000)}); code(err) != forward.CodeDenied {
		t.Errorf("got %v", err)
	}
	agent.Close()
	if _, err := c.Ask(t.Context(), Question{Do: DoOpen, Kind: forward.TCP, Port: 1}); err == nil || code(err) != "" {
		t.Errorf("without an agent: %v", err)
	}
	c.Close()
}

// What waits for an agent that ends is told so.
func TestChannelEndsWhatWaits(t *testing.T) {
	helper, agent := packets(t)
	c := NewChannel(helper)
	failed := make(chan error)
	go func() {
		_, err := c.Ask(t.Context(), Question{Do: DoOpen, Kind: forward.TCP, Port: 1})
		failed <- err
	}()
	agent.Read(make([]byte, MaxMessage))
	agent.Close()
	if err := <-failed; !errors.Is(err, errNoAgent) {
		t.Errorf("got %v", err)
	}
	c.Close()
}

func TestAnswerRefusesWhatIsNoMessage(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `[]`, `{"id":1}`, `{"id":1,"do":"open"}`, `{"id":1,"do":"write","kind":"tcp"}`, `{"id":1,"do":"open","kind":"udp"}`,
		`{"do":"open","kind":"tcp"}`, `{"id":1,"do":"open","kind":"tcp","end":{}}`, `{"id":1,"do":"open","kind":"tcp","addresses":["x"]}`,
		`{"do":"open","kind":"tcp","end":{"seconds":-1}}`, `{"end":{"code":"limit"}}`, `{"do":"write","end":{"never":true}}`, `{"id":1,"do":"open","kind":"tcp","host":"` + strings.Repeat("x", 300) + `"}`,
	} {
		if _, err := Answer(judge{make(chan End, 1)}, []byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// Whatever a helper sends, it is refused or answered within the bound.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		`{"id":1,"do":"open","kind":"tcp","host":"db","port":1,"addresses":["10.0.0.1"]}`,
		`{"id":2,"do":"listen","kind":"unix","path":"/tmp/x"}`, `{"do":"accept","kind":"tcp","end":{"fromClient":1,"seconds":1e9}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		reply, err := Answer(judge{make(chan End, 1)}, text)
		if err == nil && len(reply) > MaxMessage {
			t.Errorf("%d bytes", len(reply))
		}
	})
}
