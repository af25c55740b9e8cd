package agent

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
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

	"shellagent/account"
	"shellagent/broker"
	"shellagent/internal/listen"
	"shellagent/internal/version"
	"shellagent/jwtauth"
	"shellagent/metrics"
	"shellagent/seal"
	"shellagent/shell"
	"shellagent/shell/process"
)

const (
	// stopGrace is how long sessions may take to end when the agent stops.
	stopGrace = 10 * time.Second
	// answerGrace is how long requests may take to end after that.
	answerGrace = 2 * time.Second
	// leafLifetime is how long a TLS leaf is valid; the front asks for the next
	// one well before.
	leafLifetime = 24 * time.Hour
	// askAgainEvery is how soon what ends with time, a key's notAfter, ends sessions.
	askAgainEvery = time.Minute
)

// agent is one running agent.
type agent struct {
	log      *slog.Logger
	config   *loaded // at the start
	hup      <-chan os.Signal
	asked    chan func(context.Context) // reloads that operators wait for
	program  program
	upgrades uint64 // how often it was replaced in place
	refused  atomic.Pointer[refusedProgram]

	lock      *os.File // on the state directory
	opened    []string // addresses, as configured when the listeners were opened
	listeners []*net.TCPListener
	scrapes   *net.TCPListener // for metrics; nil without
	guard     *jwtauth.Guard

	inForce    *inForce
	hosts      *hostKeys
	broker     *broker.Broker
	front      *broker.Front
	metrics    *metrics.Metrics
	typing     typing
	seal       *seal.Key // of the trail and of recordings
	audit      *auditing // nil for none
	recordings *recordings
	forwards   *forwards
	system     *process.Host
	ready      <-chan struct{} // closed when the front first serves
}

// serve runs the agent until ctx is done, from where an earlier image of it was,
// if there was one.
func (a *agent) serve(ctx context.Context, earlier *takeover, portFile string) error {
	if err := prepareProcess(); err != nil {
		return err
	}
	var err error
	if a.program, err = ownProgram(os.Args[0]); err != nil {
		a.log.Warn("a new version of the agent can only be put in by a restart", "err", err)
	}
	if earlier == nil {
		err = a.begin()
	} else {
		err = a.goOn(earlier)
	}
	if err != nil {
		return err
	}
	defer a.lock.Close()
	defer closeAll(a.sockets())
	defer func() {
		if err := a.guard.Close(); err != nil {
			a.log.Error("the replay watermark could not be written", "err", err)
		}
	}()
	for _, w := range append(a.config.policy.Warnings(), listen.CheckLimits(a.config.policy.MaxSessions())...) {
		a.log.Warn(w)
	}
	if err := a.assemble(); err != nil {
		return err
	}
	defer a.system.Close()
	defer a.closeTrail()
	if earlier != nil {
		if err := a.resume(earlier); err != nil {
			return fmt.Errorf("take over the sessions of the agent before: %w", err)
		}
	}
	if earlier == nil {
		a.observe(shell.Event{Kind: shell.EventStarted})
	}
	return a.run(ctx, portFile)
}

// begin gets what an agent needs of the host.
func (a *agent) begin() error {
	l := a.config
	lock, err := openState(l.StateDir)
	if err != nil {
		return err
	}
	if ended, err := process.CleanUp(l.StateDir); err != nil {
		a.log.Warn("processes of an earlier agent may be left", "err", err)
	} else if ended > 0 {
		a.log.Info("ended what an earlier agent left behind", "sessions", ended)
	}
	a.lock, a.opened = lock, l.Listen.Address
	if err := a.listen(); err != nil {
		closeAll(a.sockets())
		lock.Close()
		return err
	}
	a.guard, err = jwtauth.NewGuard(jwtauth.GuardConfig{StateDir: l.StateDir})
	if err != nil {
		closeAll(a.sockets())
		lock.Close()
	}
	return err
}

// listen opens the sockets: for clients, and for who reads the metrics.
func (a *agent) listen() (err error) {
	if a.listeners, err = listen.Open(a.config.Listen.Address); err != nil {
		return err
	}
	if a.config.Metrics.Address == "" {
		return nil
	}
	if a.scrapes, err = listen.OpenOne(a.config.Metrics.Address); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// sockets are all that the agent listens on.
func (a *agent) sockets() []*net.TCPListener {
	if a.scrapes == nil {
		return a.listeners
	}
	return append(slices.Clone(a.listeners), a.scrapes)
}

// prepareProcess makes sure that what sessions inherit is what sshd would give.
func prepareProcess() error {
	if err := process.CheckPrivileges(); err != nil {
		return err
	}
	if err := process.CloseInherited(); err != nil {
		return err
	}
	return process.ResetSignals()
}

// assemble puts the parts together; nothing runs yet.
func (a *agent) assemble() error {
	l := a.config
	hosts, made, err := openHostKeys(l.StateDir)
	if err != nil {
		return err
	}
	a.hosts = hosts
	if made {
		a.log.Info("made the host key", "file", hostKeyFile, "dir", l.StateDir)
	}
	a.metrics = metrics.New(metrics.Config{Version: version.Version, Commit: version.Commit, Trail: a.trailMetrics})
	a.metrics.Configure(l.policy.Sources(), l.policy.Subjects())
	if a.system, err = process.NewHost(process.HostConfig{StateDir: l.StateDir, Log: a.log}); err != nil {
		return err
	}
	if err := a.system.Unlimited(); err != nil {
		a.log.Warn("a session's processes are not limited: one of them can take what all have", "reason", err,
			"remedy", "run the agent in a systemd unit with Delegate=yes, under cgroup v2")
	}
	if a.seal, err = seal.Load(l.StateDir, hosts.current(), time.Now()); err != nil {
		return err
	}
	a.openTrail()
	a.recordings = newRecordings(l.StateDir, a.seal, a.log, a.observe)
	a.recordings.keep(l.policy.Keeping())
	a.forwards = newForwards(a.log, a.observe)
	server := a.listeners[0].Addr().(*net.TCPAddr).AddrPort()
	a.broker, err = broker.New(broker.Config{
		HostKey: hosts.current(), Guard: a.guard, Registry: shell.NewRegistry(0), Policy: l.policy,
		Start: a.starter(server), Record: a.recordings.begin, Drain: a.drainer(), Forward: a.forwards.follow, AgentSocket: a.forwards.isAgentSocket, Host: hostName(), Confirm: a.confirmed, Observer: a.observers(), Admission: a.admit, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.broker.SetHostKeys(hosts.all())
	a.inForce = newInForce(a.log, l, a.obey, a.reloadEnded)
	return a.assembleFront()
}

func (a *agent) assembleFront() error {
	l := a.config
	who, err := frontCredential(l.Listen.User)
	if err != nil {
		return err
	}
	document, err := a.document()
	if err != nil {
		return err
	}
	cfg := broker.FrontConfig{
		Listeners: a.listeners, Handler: a.broker, Credential: who, Log: a.log, Grace: answerGrace,
		Setup: broker.Setup{
			BasePath: l.Listen.PathPrefix, TrustedProxies: l.proxies,
			Agent: document, NoFile: listen.MaxFiles(),
		},
		SignLeaf: func(key *ecdsa.PublicKey) ([][]byte, error) {
			return jwtauth.SignLeaf(a.hosts.current(), key, time.Now(), leafLifetime)
		},
		Lost: a.broker.AwaitClients,
		Started: func(before uint64) {
			a.observe(shell.Event{Kind: shell.EventFrontStarted, Count: before})
		},
		Refused: a.broker.RefusedByFront, Certificate: l.certificate,
	}
	if a.scrapes != nil {
		cfg.Metrics, cfg.MetricsText = a.scrapes, a.metrics.Text
		a.log.Info("metrics are served", "address", a.scrapes.Addr().String())
	}
	ready := make(chan struct{})
	cfg.Ready = sync.OnceFunc(func() { close(ready) })
	a.ready = ready
	a.front, err = broker.NewFront(cfg)
	return err
}

// document is the body of GET /v1/agent.
func (a *agent) document() ([]byte, error) {
	keys := a.hosts.all()
	public := keys.Current.PublicKey()
	return json.Marshal(struct {
		Version     int                 `json:"version"`
		Protocols   []int               `json:"protocols"`
		HostKey     string              `json:"hostKey"`
		Thumbprint  string              `json:"thumbprint"`
		Agent       string              `json:"agent"`
		NextHostKey *jwtauth.Succession `json:"nextHostKey,omitempty"`
	}{1, []int{1}, public.AuthorizedKey(""), public.Thumbprint(), "shellagent/" + version.Version, keys.Announced})
}

// starter starts programs for the broker. What is the command's own fault is
// told to its session in a shell's words, with a shell's exit code.
func (a *agent) starter(server netip.AddrPort) broker.StartFunc {
	return func(ctx context.Context, g shell.Grant, open shell.OpenRequest, remote netip.AddrPort) (shell.Program, error) {
		switch {
		case g.Files != nil:
			g = servesFiles(g, open.Subsystem)
		case g.Forward != nil:
			g = servesForwards(g)
		}
		p, err := a.system.Start(ctx, g, open.Terminal, process.Options{Client: remote, Server: server, Channel: g.Forward != nil})
		if code, own := process.ExitCode(err); own {
			return process.FailedProgram(code, err.Error(), open.Terminal != nil), nil
		}
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

// frontCredential is whom the front runs as: a user of its own when the agent
// is root, else the agent's.
func frontCredential(name string) (*syscall.Credential, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	self, err := account.Host().Self(ctx)
	if err != nil {
		return nil, err
	}
	if self.UID != 0 {
		return nil, nil
	}
	names := []string{"shellagent", "nobody"}
	if name != "" {
		names = []string{name}
	}
	for _, n := range names {
		u, err := account.Host().Lookup(ctx, n)
		if errors.Is(err, account.ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the front's user: %w", err)
		}
		if u.UID == 0 || u.GID == 0 {
			return nil, fmt.Errorf("the front's user %s is root: give it one of its own (listen.user)", n)
		}
		return &syscall.Credential{Uid: u.UID, Gid: u.GID}, nil
	}
	return nil, fmt.Errorf("the front's user %s does not exist: useradd --system --no-create-home --shell /usr/sbin/nologin shellagent", names[0])
}

func closeAll(listeners []*net.TCPListener) {
	for _, l := range listeners {
		l.Close()
	}
}
