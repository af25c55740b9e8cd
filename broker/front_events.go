package broker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// FrontEvents is what the broker tells a front that serves. Each function is
// called from [FrontLink.Run], one at a time.
type FrontEvents struct {
	Leaf        func(chain [][]byte) // nil: the broker could not sign it
	Certificate func(Certificate)
	Agent       func(document []byte)
	Renew       func() // the leaf is to be asked for anew
	Drain       func(grace time.Duration)
}

// Refused counts a refusal; it is reported within a second. When there are too
// many addresses to tell apart, their refusals are reported without one.
func (l *FrontLink) Refused(reason shell.Reason, remote netip.Addr) {
	key := refusals{reason: frontReasons[frontReason(reason)], remote: remote.WithZone("")}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.refused[key]; !known && len(l.refused) >= maxRefusals-len(frontReasons) {
		key.remote = netip.Addr{}
	}
	l.refused[key]++
}

func (l *FrontLink) report() error {
	l.mu.Lock()
	all := make([]refusals, 0, len(l.refused))
	for r, n := range l.refused {
		r.count = n
		all = append(all, r)
	}
	clear(l.refused)
	l.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	return l.send(controlRefused, appendRefusals(nil, all))
}

// Run receives what the broker says and reports refusals until the broker is
// gone, which is not an error, or ctx ends. It closes the socket.
func (l *FrontLink) Run(ctx context.Context, events FrontEvents) error {
	done := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = l.report() // a broken socket ends Run
			case <-ctx.Done():
				l.conn.Close()
				return
			case <-done:
				_ = l.report()
				return
			}
		}
	})
	err := l.receive(events)
	close(done)
	reporting.Wait()
	l.conn.Close()
	l.mu.Lock()
	l.gone = true
	for _, w := range l.waiting {
		close(w)
	}
	l.waiting = nil
	l.mu.Unlock()
	if hungUp(err) {
		return nil
	}
	return err
}

func (l *FrontLink) receive(events FrontEvents) error {
	b := make([]byte, 1+maxControl)
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := l.conn.ReadMsgUnix(b, oob)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := l.handle(events, controlKind(b[0]), append([]byte(nil), b[1:n]...), oob[:oobn]); err != nil {
			return err
		}
	}
}

func (l *FrontLink) handle(events FrontEvents, kind controlKind, payload, oob []byte) error {
	switch kind {
	case controlConn:
		conn, err := receivedConn(oob)
		if err != nil {
			return err
		}
		l.answer(conn)
	case controlLeaf:
		chain, err := decodeList(payload)
		if err != nil {
			return err
		}
		events.Leaf(chain)
	case controlCertificate:
		list, err := decodeList(payload)
		if err != nil {
			return err
		}
		if len(list) < 2 {
			return fmt.Errorf("certificate: %w", errCodec)
		}
		events.Certificate(Certificate{Key: list[0], Chain: list[1:]})
	case controlAgent:
		events.Agent(payload)
	case controlRenew:
		events.Renew()
	case controlDrain:
		grace, err := decodeDrain(payload)
		if err != nil {
			return err
		}
		events.Drain(grace)
	default:
		return fmt.Errorf("control message of kind %d: %w", kind, errCodec)
	}
	return nil
}

// receivedConn makes a connection of the descriptor in oob; nil when there is none.
func receivedConn(oob []byte) (*net.UnixConn, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("descriptor: %w", errCodec)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("descriptor: %w", errCodec)
	}
	return unixConn(os.NewFile(uintptr(fds[0]), "socket"))
}
