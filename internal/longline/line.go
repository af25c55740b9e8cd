// Package longline makes a long line out of this machine: a network namespace
// that is reached through two TUN devices, between which every packet is held
// for a while. TCP meets it as it meets a distant host: windows, acknowledgements
// and handshakes take their time, which a proxy that splits the connection hides.
// It is for tests and benchmarks, and needs root.
package longline

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Line is a way between this namespace (near) and one of its own (far).
type Line struct {
	name      string
	near, far netip.Addr
	delay     time.Duration
	devices   []*os.File
	all       sync.WaitGroup
	bytes     atomic.Int64
	packets   atomic.Int64
	dropped   atomic.Int64
}

// network is of RFC 2544's addresses for measurements, which nobody routes.
var network = netip.MustParseAddr("198.18.240.0")

// Open makes a line on which every packet takes delay, so that a round trip
// takes twice as long; 0 is a line that only counts. A process may have several:
// number (0 to 60) tells their addresses apart, between processes too.
func Open(number int, delay time.Duration) (*Line, error) {
	if number < 0 || number > 60 {
		return nil, fmt.Errorf("line %d: want 0 to 60", number)
	}
	at := network.As4()
	at[3] = byte(number * 4)
	near := netip.AddrFrom4(at).Next()
	l := &Line{name: fmt.Sprintf("line%d", number), near: near, far: near.Next(), delay: delay}
	if err := l.open(); err != nil {
		l.Close()
		return nil, fmt.Errorf("a long line: %w", err)
	}
	return l, nil
}

func (l *Line) open() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces and TUN devices need root")
	}
	// What a run that was killed left behind.
	_ = exec.Command("ip", "netns", "del", l.name).Run()
	if err := ip("netns", "add", l.name); err != nil {
		return err
	}
	for _, side := range []string{"n", "f"} {
		device, err := openTUN(l.name + side)
		if err != nil {
			return err
		}
		l.devices = append(l.devices, device)
	}
	for _, args := range [][]string{
		{"link", "set", l.name + "n", "txqueuelen", "10000"},
		{"link", "set", l.name + "f", "txqueuelen", "10000"},
		{"link", "set", l.name + "f", "netns", l.name},
		{"addr", "add", l.near.String() + "/30", "dev", l.name + "n"},
		{"link", "set", l.name + "n", "up"},
		{"-n", l.name, "link", "set", "lo", "up"},
		{"-n", l.name, "addr", "add", l.far.String() + "/30", "dev", l.name + "f"},
		{"-n", l.name, "link", "set", l.name + "f", "up"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	l.carry(l.devices[0], l.devices[1])
	l.carry(l.devices[1], l.devices[0])
	return nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// Name is that of the far namespace, for ip-netns(8).
func (l *Line) Name() string { return l.name }

// Near is the address of this namespace, where servers listen.
func (l *Line) Near() netip.Addr { return l.near }

// Bytes is how many bytes of IP packets went over the line so far, both ways,
// headers included, counted as segments of the line's MTU.
func (l *Line) Bytes() int64 { return l.bytes.Load() }

// Packets is how many packets these were.
func (l *Line) Packets() int64 { return l.packets.Load() }

// Dropped is how many packets found the queue full. They are in Bytes too.
func (l *Line) Dropped() int64 { return l.dropped.Load() }

// Start starts a command in the far namespace.
func (l *Line) Start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	go func() {
		// The thread is another namespace's from here on: it ends with the goroutine.
		runtime.LockOSThread()
		result <- l.startFar(cmd)
	}()
	return <-result
}

func (l *Line) startFar(cmd *exec.Cmd) error {
	namespace, err := os.Open(filepath.Join("/run/netns", l.name))
	if err != nil {
		return err
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the namespace %s: %w", l.name, err)
	}
	return cmd.Start()
}

// Close takes the line down. What was on its way is lost.
func (l *Line) Close() {
	for _, d := range l.devices {
		d.Close()
	}
	l.all.Wait()
	_ = exec.Command("ip", "netns", "del", l.name).Run()
}
