package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"shellagent/broker"
	"shellagent/internal/sandbox"
	"shellagent/internal/thrift"
	"shellagent/shell/shellhttp"
)

// stopGrace is how long requests may take to end when the front is told to
// stop by a signal; the broker says how long when it tells.
const stopGrace = 5 * time.Second

// Run is the front's process: it takes over the descriptors that [broker.Front]
// gave it, confines itself, and serves until ctx ends, it gets SIGTERM, or the
// broker tells it to stop or is gone. It logs to standard error, which the
// broker reads.
func Run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	if err := startedByBroker(); err != nil {
		return err
	}
	link, err := broker.NewFrontLink(os.NewFile(broker.FrontControlFD, "control"))
	if err != nil {
		return err
	}
	setup, err := link.Setup()
	if err != nil {
		return err
	}
	clients := newClients(maxClients(setup), setup.TrustedProxies)
	listeners, err := inherit(setup.Listeners, clients)
	if err != nil {
		return err
	}
	scrapes, err := inheritScrapes(setup)
	if err != nil {
		return err
	}
	wide := sendBuffer("/proc/sys/net")
	report, err := sandbox.Apply(sandbox.Config{NoFile: setup.NoFile})
	if err != nil {
		return err
	}
	log.Info("confined", "sandbox", report)
	return newServer(link, setup, wide, listeners, scrapes, log).run(ctx)
}

// withoutTime leaves the time to the broker, which logs what the front says.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// startedByBroker says whether the control socket is where it should be.
func startedByBroker() error {
	kind, err := syscall.GetsockoptInt(broker.FrontControlFD, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil || kind != syscall.SOCK_SEQPACKET {
		return errors.New("front is a part of the agent that \"agent listen\" starts: it does nothing by itself")
	}
	return nil
}

// inherit makes listeners of the descriptors that the broker left open.
func inherit(n int, clients *clients) ([]net.Listener, error) {
	var all []net.Listener
	for i := range n {
		l, err := inheritOne(i)
		if err != nil {
			return nil, err
		}
		all = append(all, &limitedListener{TCPListener: l, clients: clients})
	}
	return all, nil
}

func inheritOne(i int) (*net.TCPListener, error) {
	file := os.NewFile(uintptr(broker.FrontListenerFD+i), "listener")
	l, err := net.FileListener(file)
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("listener %d: %w", i, err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("listener %d: %s is not TCP", i, l.Addr())
	}
	return tcp, nil
}

// server is a front that is confined and serves.
type server struct {
	link      *broker.FrontLink
	calls     *broker.CallClient
	typing    *typing
	listeners []net.Listener
	scrapes   net.Listener // nil without metrics
	log       *slog.Logger
	leaf      *leaf
	agent     document
	drain     chan time.Duration
	http      httpServer
}

// httpServer is what is used of the server that shellhttp makes.
type httpServer interface {
	ServeTLS(l net.Listener, certFile, keyFile string) error
	Shutdown(ctx context.Context) error
	Close() error
}

func newServer(link *broker.FrontLink, setup broker.Setup, sendBuffer int, listeners []net.Listener, scrapes net.Listener, log *slog.Logger) *server {
	s := &server{
		link: link, calls: broker.NewCallClient(link.Dial, setup.MaxCalls),
		listeners: listeners, scrapes: scrapes, log: log, drain: make(chan time.Duration, 1),
		leaf: newLeaf(link, setup.Certificate, log),
	}
	s.agent.set(setup.Agent)
	s.typing = &typing{calls: s.calls}
	handler := shellhttp.NewHandler(shellhttp.HandlerConfig{
		Caller: s.typing, BasePath: setup.BasePath, TrustedProxies: setup.TrustedProxies,
		Agent: s.agent.now, Ready: s.calls.Ready, Refused: link.Refused, Log: log,
		SendBuffer: sendBuffer,
	})
	config := s.leaf.config()
	config.GetConfigForClient = handshakes{broker.NewTurns(runtime.GOMAXPROCS(0), 0)}.hello
	s.http = shellhttp.NewServer(handler, config)
	return s
}

// run serves until it is told to stop.
func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listening, deaf := context.WithCancel(context.WithoutCancel(ctx))
	linkEnded := make(chan error, 1)
	go func() { linkEnded <- s.link.Run(listening, s.events()) }()
	go s.leaf.keep(ctx)
	go thrift.Run(ctx, &s.typing.Typing)
	served := make(chan error, len(s.listeners)+2)
	go s.serve(ctx, served)
	scrapesEnded := s.serveScrapes(ctx, served)

	var err error
	select {
	case <-ctx.Done():
		s.shutdown(stopGrace)
	case grace := <-s.drain:
		s.shutdown(grace)
	case err = <-linkEnded:
		linkEnded <- nil
	case err = <-served:
	}
	cancel()
	s.http.Close()
	<-scrapesEnded
	s.calls.Close()
	deaf()
	<-linkEnded
	return err
}

func (s *server) events() broker.FrontEvents {
	return broker.FrontEvents{
		Leaf:        s.leaf.signed,
		Certificate: s.leaf.configured,
		Agent:       s.agent.set,
		Renew:       s.leaf.renew,
		Drain: func(grace time.Duration) {
			select {
			case s.drain <- grace:
			default: // once is enough
			}
		},
	}
}

// serve begins to accept once there is a certificate: until then connections
// wait in the sockets.
func (s *server) serve(ctx context.Context, served chan<- error) {
	select {
	case <-s.leaf.there:
	case <-ctx.Done():
		return
	}
	for _, l := range s.listeners {
		go func() { served <- s.http.ServeTLS(l, "", "") }()
	}
	if err := s.link.Ready(); err != nil {
		served <- fmt.Errorf("control socket: %w", err)
	}
}

// shutdown stops accepting and gives requests time to end.
func (s *server) shutdown(grace time.Duration) {
	s.log.Info("stopping", "grace", grace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Info("requests were cut off at the end", "err", err)
	}
}
