package longline

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes a line; its number is this process's, so that a benchmark beside
// the tests does not lose its own.
func open(t *testing.T, number int, delay time.Duration) *Line {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes a network namespace and TUN devices")
	}
	l, err := Open(number, delay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// echo listens at the near end and gives everything back.
func echo(t *testing.T, l *Line) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(l.Near().String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// far runs a script of bash's in the far namespace, with the connection as its
// descriptor 3.
func far(t *testing.T, l *Line, port, script string) ([]byte, time.Duration) {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "exec 3<>/dev/tcp/"+l.Near().String()+"/"+port+"; "+script)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	began := time.Now()
	if err := l.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	return out.Bytes(), time.Since(began)
}

func TestEveryPacketIsHeld(t *testing.T) {
	const delay = 40 * time.Millisecond
	l := open(t, 50, delay)
	port := echo(t, l)
	got, took := far(t, l, port, "echo one >&3; read x <&3; echo two >&3; read y <&3; echo $x $y")
	if string(got) != "one two\n" {
		t.Errorf("%q", got)
	}
	// A handshake and two questions.
	if least := 3 * 2 * delay; took < least {
		t.Errorf("three round trips took %v, less than %v", took, least)
	}
}

func TestWhatCrossesIsWholeAndCounted(t *testing.T) {
	l := open(t, 51, time.Millisecond)
	port := echo(t, l)
	data := make([]byte, 4<<20)
	_, _ = rand.Read(data)
	file := t.TempDir() + "/data"
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	before := l.Bytes()
	got, _ := far(t, l, port, "cat "+file+" >&3 & head -c 4194304 <&3; wait")
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, or others", len(got))
	}
	// Both ways, with headers of 40 to 60 bytes for each 1,448 or so.
	payload := int64(2 * len(data))
	if counted := l.Bytes() - before; counted < payload+payload/50 || counted > payload+payload/4 {
		t.Errorf("%d bytes were counted for %d", counted, payload)
	}
	if l.Packets() < payload/1500 || l.Dropped() != 0 {
		t.Errorf("%d packets, %d dropped", l.Packets(), l.Dropped())
	}
}

func TestOpenAgainAfterARunThatWasKilled(t *testing.T) {
	first := open(t, 52, 0)
	first.Close()
	if err := ip("netns", "add", first.name); err != nil {
		t.Fatal(err)
	}
	second := open(t, 52, 0)
	if got, _ := far(t, second, echo(t, second), "echo back >&3; head -n 1 <&3"); string(got) != "back\n" {
		t.Errorf("%q", got)
	}
}

func TestNumbersAreBounded(t *testing.T) {
	for _, number := range []int{-1, 61} {
		if l, err := Open(number, 0); err == nil {
			l.Close()
			t.Errorf("line %d was opened", number)
		}
	}
}

// frame is what a TUN device hands over: a header, IPv4, TCP and a payload that
// is to be cut into segments of the given size; 0 leaves it whole.
func frame(payload, segment int) []byte {
	f := make([]byte, headerSize+20+32+payload)
	if segment > 0 {
		f[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
		binary.NativeEndian.PutUint16(f[4:], uint16(segment))
	}
	f[headerSize] = 0x45
	f[headerSize+20+12] = 8 << 4
	return f
}

func TestSegmentsRepeatTheirHeaders(t *testing.T) {
	for _, c := range []struct {
		payload, segment int
		bytes, packets   int64
	}{
		{0, 0, 52, 1}, {100, 0, 152, 1}, {100, 1448, 152, 1}, {1448, 1448, 1500, 1},
		{1449, 1448, 1449 + 2*52, 2}, {60000, 1000, 60000 + 60*52, 60},
	} {
		if bytes, packets := onTheWire(frame(c.payload, c.segment)); bytes != c.bytes || packets != c.packets {
			t.Errorf("%d in segments of %d: %d bytes, %d packets, want %d and %d", c.payload, c.segment, bytes, packets, c.bytes, c.packets)
		}
	}
	if bytes, packets := onTheWire(append(make([]byte, headerSize), bytes.Repeat([]byte{0x60}, 60)...)); bytes != 0 || packets != 0 {
		t.Errorf("IPv6 counts as %d bytes, %d packets", bytes, packets)
	}
}

func FuzzOnTheWire(f *testing.F) {
	f.Add(frame(0, 0))
	f.Add(frame(3000, 1448))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		bytes, packets := onTheWire(data)
		if bytes < 0 || packets < 0 || packets > bytes {
			t.Errorf("%d bytes, %d packets", bytes, packets)
		}
	})
}
