package broker

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// FrontConfig is what a [Front] is made of.
type FrontConfig struct {
	// Listeners are the listening sockets that the front serves. The broker
	// never accepts on them but keeps them open, so that a connection that is
	// made while the front restarts waits instead of being refused.
	Listeners []*net.TCPListener
	// Handler answers the front's calls. A panic in it is logged and answered
	// as an internal error.
	Handler Handler
	// Metrics is the socket on which the front serves what MetricsText returns,
	// at most 16 MiB of it, over HTTP without TLS or credentials. It is kept open
	// as Listeners are. Nil serves no metrics.
	Metrics     *net.TCPListener
	MetricsText func(context.Context) ([]byte, error)
	// Setup is what the front is told; see there.
	Setup Setup
	// Certificate is the TLS certificate. When it is nil, leaves for keys that
	// the front makes are asked of SignLeaf, which returns a chain in DER.
	Certificate *Certificate
	SignLeaf    func(*ecdsa.PublicKey) ([][]byte, error)
	// Credential is whom the front runs as; nil is the agent's own user, which
	// is for agents that are not root.
	Credential *syscall.Credential
	// MaxConns bounds the connections of all fronts: calls in progress and
	// attached streams. 0 means 4096.
	MaxConns int
	// Grace is how long the front may take to finish when Run ends; 0 means 5 s.
	Grace time.Duration
	// Started, Lost, Ready and Refused may be nil. Started is told how often the
	// front was started before; Lost is called when one ended that nobody asked
	// to, and all connections with it; Ready is called when one serves; Refused
	// of refusals that the front made itself.
	Started func(before uint64)
	Lost    func()
	Ready   func()
	Refused func(reason shell.Reason, remote netip.Addr, n uint64)
	// Log may be nil, which discards.
	Log *slog.Logger
	// Program is the path of what is executed and its argv; nil means this
	// program as "agent front". Env is its environment: nothing by default.
	Program []string
	Env     []string
}

// Front keeps the front running: it starts it, feeds it, restarts it when it
// dies and ends it. What the front sends is bounded in size and rate, checked,
// and can at most cost the front its own connections or its life.
type Front struct {
	cfg       FrontConfig
	listeners []*os.File    // and the one for metrics last, if there is one
	conns     chan struct{} // holds one element per connection
	serving   sync.WaitGroup
	pid       atomic.Int64
	changed   chan struct{} // certificate or agent document
	pauses    chan pause
	everReady atomic.Bool

	mu          sync.Mutex
	agent       []byte
	certificate *Certificate
	renew       bool // the front that runs is to ask for a leaf
}

// NewFront checks the configuration. Nothing is started before [Front.Run].
func NewFront(cfg FrontConfig) (*Front, error) {
	if cfg.Handler == nil || len(cfg.Listeners) == 0 || cfg.Certificate == nil && cfg.SignLeaf == nil {
		return nil, errors.New("front: handler, listeners and a certificate or a signer are required")
	}
	if (cfg.Metrics == nil) != (cfg.MetricsText == nil) {
		return nil, errors.New("front: a socket for metrics and their text go together")
	}
	setDefaults(&cfg)
	cfg.Handler = guarded{newTelling(cfg.Handler, cfg.MetricsText, cfg.Log), cfg.Log}
	f := &Front{
		cfg: cfg, conns: make(chan struct{}, cfg.MaxConns), changed: make(chan struct{}, 1), pauses: make(chan pause),
		agent: cfg.Setup.Agent, certificate: cfg.Certificate,
	}
	sockets := cfg.Listeners
	if cfg.Metrics != nil {
		sockets = append(slices.Clone(sockets), cfg.Metrics)
	}
	for _, l := range sockets {
		file, err := l.File()
		if err != nil {
			f.closeListeners()
			return nil, fmt.Errorf("front: %s: %w", l.Addr(), err)
		}
		f.listeners = append(f.listeners, file)
	}
	if _, err := f.setupMessages(); err != nil {
		f.closeListeners()
		return nil, fmt.Errorf("front: %w", err)
	}
	return f, nil
}

func setDefaults(cfg *FrontConfig) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 4096
	}
	if cfg.Setup.MaxCalls <= 0 {
		cfg.Setup.MaxCalls = 512
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 5 * time.Second
	}
	if cfg.Program == nil {
		// In the child, before it executes, this is still this program: also
		// when its file was replaced or its directory is closed to others.
		cfg.Program = []string{"/proc/self/exe", "agent", "front"}
	}
	if cfg.Env == nil {
		cfg.Env = []string{} // os.ProcAttr gives a nil one the agent's own
	}
}

// PID is the process id of the front that runs, or 0.
func (f *Front) PID() int { return int(f.pid.Load()) }

// SetAgent replaces the agent document, also in the front that runs.
func (f *Front) SetAgent(document []byte) {
	f.mu.Lock()
	f.agent = document
	f.mu.Unlock()
	f.tellChanged()
}

// SetCertificate replaces the certificate, also in the front that runs. It is
// an error to call it when the configuration had none.
func (f *Front) SetCertificate(c *Certificate) error {
	if f.cfg.Certificate == nil || c == nil {
		return errors.New("front: a certificate replaces a certificate only")
	}
	if _, err := certificateMessage(c); err != nil {
		return err
	}
	f.mu.Lock()
	f.certificate = c
	f.mu.Unlock()
	f.tellChanged()
	return nil
}

// RenewLeaf has the front that runs ask for a leaf, since another key signs now.
// A configured certificate is not touched.
func (f *Front) RenewLeaf() {
	f.mu.Lock()
	f.renew = f.certificate == nil
	f.mu.Unlock()
	f.tellChanged()
}

func (f *Front) tellChanged() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// setupMessages returns what a new front is told.
func (f *Front) setupMessages() ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renew = false // a new front asks by itself
	s := f.cfg.Setup
	s.Agent, s.Certificate = f.agent, f.certificate != nil
	s.Listeners, s.Metrics = len(f.cfg.Listeners), f.cfg.Metrics != nil
	setup, err := setupMessage(s)
	if err != nil || f.certificate == nil {
		return [][]byte{setup}, err
	}
	certificate, err := certificateMessage(f.certificate)
	return [][]byte{setup, certificate}, err
}

// changedMessages returns what a running front is told after a change.
func (f *Front) changedMessages() ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	agent, err := controlMessage(controlAgent, f.agent)
	if err != nil {
		return nil, err
	}
	messages := [][]byte{agent}
	if f.certificate != nil {
		certificate, err := certificateMessage(f.certificate)
		return append(messages, certificate), err
	}
	if f.renew {
		f.renew = false
		messages = append(messages, []byte{byte(controlRenew)})
	}
	return messages, nil
}

func (f *Front) closeListeners() {
	for _, l := range f.listeners {
		l.Close()
	}
}

// Restart bounds: the first restart is at once, the next ones wait longer and
// longer, until one lived for calm.
const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 5 * time.Second
	calm       = 10 * time.Second
	// maxStillborn is how many fronts may end before any was ever ready: then
	// something is wrong that a restart does not mend.
	maxStillborn = 3
)

// Run starts the front and restarts it whenever it ends, until ctx ends: then
// the front stops accepting and has Grace to finish its requests. It returns
// nil after that, or an error when no front ever came to serve. It is called
// once; the listeners of the configuration stay open, and are the caller's.
func (f *Front) Run(ctx context.Context) error {
	defer f.closeListeners()
	serve, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer f.serving.Wait()
	defer stop()
	delay := time.Duration(0)
	for before := uint64(0); ; before++ {
		began := time.Now()
		ended, err := f.run(ctx, serve, before)
		if ctx.Err() != nil {
			return nil
		}
		if p, ok := paused(ended); ok {
			f.rest(ctx, p)
			delay = 0
			continue
		}
		if f.cfg.Lost != nil && err == nil {
			f.cfg.Lost()
		}
		if !f.everReady.Load() && (err != nil || before+1 >= maxStillborn) {
			return fmt.Errorf("the front does not start: %w", errors.Join(err, ended))
		}
		if time.Since(began) >= calm {
			delay = 0
		}
		f.cfg.Log.Warn("front ended: starting it again", "err", errors.Join(err, ended), "lived", time.Since(began).Round(time.Millisecond), "in", delay)
		select {
		case <-time.After(delay):
		case p := <-f.pauses:
			f.rest(ctx, p)
		case <-ctx.Done():
			return nil
		}
		delay = min(max(2*delay, firstDelay), maxDelay)
	}
}

// run starts one front and returns when it is gone: ended says why, err that
// it could not be started.
func (f *Front) run(ctx, serve context.Context, before uint64) (ended, err error) {
	r, err := f.start(serve)
	if err != nil {
		return nil, err
	}
	f.pid.Store(int64(r.child.process.Pid))
	if f.cfg.Started != nil {
		f.cfg.Started(before)
	}
	f.cfg.Log.Info("front started", "pid", r.child.process.Pid, "before", before)
	ended = r.supervise(ctx)
	f.pid.Store(0)
	return ended, nil
}

// wakeListeners makes sure that the sockets listen: a front that was taken
// over may have shut them down, which a restart must mend. On a socket that
// listens it changes nothing.
func (f *Front) wakeListeners() {
	for _, l := range f.listeners {
		_ = unix.Listen(int(l.Fd()), 4096) // the kernel's somaxconn is the bound
	}
}
