package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

// MaxAddresses bounds how many sockets an agent listens on.
const MaxAddresses = 16

// Open returns a listening socket for every address, which is "HOST:PORT" with
// a host that may be empty for every address of the host, IPv6 and IPv4;
// 0.0.0.0 is every IPv4 address and [::] every IPv6 address alone. When
// systemd passed sockets (LISTEN_FDS, sd_listen_fds(3)) those are returned
// instead and the addresses are ignored. The error names the address and what
// to do.
func Open(addresses []string) ([]*net.TCPListener, error) {
	passed, err := inherited()
	if err != nil || len(passed) > 0 {
		return passed, err
	}
	if len(addresses) == 0 || len(addresses) > MaxAddresses {
		return nil, fmt.Errorf("listen on 1 to %d addresses, not %d", MaxAddresses, len(addresses))
	}
	var all []*net.TCPListener
	for _, a := range addresses {
		l, err := OpenOne(a)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// Check says what is wrong with an address, without opening it.
func Check(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address to listen on: write it like :4000, 127.0.0.1:4000 or [::1]:4000", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q has no port from 0 to 65535: write it like %s", address, net.JoinHostPort(host, "4000"))
	}
	return nil
}

// OpenOne returns a listening socket for one address, as [Open] reads it.
func OpenOne(address string) (*net.TCPListener, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(address)
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // sessions resume by themselves: one kind of socket is enough
	l, err := lc.Listen(context.Background(), network(host), address)
	if err == nil {
		return l.(*net.TCPListener), nil
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: another program has this port: ss -ltnp 'sport = :%s' shows which: %w", address, port, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %s: this host does not have that address: ip address shows which it has: %w", address, err)
	}
	return nil, fmt.Errorf("listen on %s: %w", address, err)
}

// network makes an address mean exactly its family, so that 0.0.0.0 and [::]
// can be given side by side; without a family it is both.
func network(host string) string {
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "tcp"
	case addr.Is4():
		return "tcp4"
	default:
		return "tcp6"
	}
}

// inherited are the sockets that systemd passed. It takes them out of the
// environment, so that no child believes they are its own.
func inherited() ([]*net.TCPListener, error) {
	files := activation.Files(true)
	if len(files) > MaxAddresses {
		return nil, fmt.Errorf("systemd passed %d sockets, at most %d are taken", len(files), MaxAddresses)
	}
	var all []*net.TCPListener
	for _, f := range files {
		l, err := listenerOf(f)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func listenerOf(f *os.File) (*net.TCPListener, error) {
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("socket %s that systemd passed: %w", f.Name(), err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("socket %s that systemd passed is %s: the agent listens on TCP (ListenStream=PORT)", f.Name(), strings.ToUpper(l.Addr().Network()))
	}
	return tcp, nil
}
