package longline

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// headerSize is that of struct virtio_net_hdr, which stands before each packet.
	headerSize = 10
	largest    = headerSize + 64<<10
	// queue bounds what is on its way in one direction, in packets and bytes; a
	// packet beyond is dropped, as routers do.
	queuePackets = 8 << 10
	queueBytes   = 64 << 20
)

// openTUN makes a device that hands over large TCP segments whole, with a header
// that says how to cut them (IFF_VNET_HDR): so the line is not its own bottleneck.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the device %s: %w", name, err)
	}
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("offloads of the device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// parcel is a packet on its way.
type parcel struct {
	due  time.Time
	data []byte
}

// carry takes every packet of one device to the other.
func (l *Line) carry(from, to *os.File) {
	way := make(chan parcel, queuePackets)
	var queued atomic.Int64
	l.all.Go(func() {
		defer close(way)
		l.take(from, way, &queued)
	})
	l.all.Go(func() {
		for p := range way {
			if wait := time.Until(p.due); wait > 0 {
				time.Sleep(wait)
			}
			// A device that is down or gone takes nothing; the packet is lost.
			_, _ = to.Write(p.data)
			queued.Add(int64(-len(p.data)))
		}
	})
}

func (l *Line) take(from *os.File, way chan<- parcel, queued *atomic.Int64) {
	buf := make([]byte, largest)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		due := time.Now().Add(l.delay)
		wire, packets := onTheWire(buf[:n])
		l.bytes.Add(wire)
		l.packets.Add(packets)
		if queued.Load()+int64(n) > queueBytes {
			l.dropped.Add(1)
			continue
		}
		select {
		case way <- parcel{due, append([]byte(nil), buf[:n]...)}:
			queued.Add(int64(n))
		default:
			l.dropped.Add(1)
		}
	}
}

// onTheWire returns how many bytes and packets a frame of the device is once it
// is cut into segments, each of which repeats the IP and TCP headers.
func onTheWire(frame []byte) (bytes, packets int64) {
	if len(frame) < headerSize+20 || frame[headerSize]>>4 != 4 {
		return 0, 0 // what IPv6 says of itself
	}
	packet := frame[headerSize:]
	segment := int(binary.NativeEndian.Uint16(frame[4:]))
	headers := int(packet[0]&0x0f) * 4
	if kind := frame[1]; kind == unix.VIRTIO_NET_HDR_GSO_NONE || segment == 0 || len(packet) < headers+20 {
		return int64(len(packet)), 1
	}
	headers += int(packet[headers+12]>>4) * 4
	payload := len(packet) - headers
	count := max(1, (payload+segment-1)/segment)
	return int64(payload + count*headers), int64(count)
}
