package cli

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"shellagent/internal/share"
	"shellagent/internal/tunnel"
	"shellagent/shell/shellhttp"
	"shellagent/targets"
)

// holder is a contact whose connection others share. It is safe for concurrent use.
type holder struct {
	*contact
	ctx context.Context // of the clients that keep connections ready

	mu      sync.Mutex
	clients map[string]*shellhttp.Client // by the thumbprint of their key
	taken   map[string]string            // the key that a source took last

	hearing sync.Mutex // taken within mu, as what is done there is told
	voices  map[share.Voice]struct{}
}

// hold runs this process as a holder, from a start by share.Start to its end.
func (s *surroundings) hold(ctx context.Context, r *reach, target, socket string, idle time.Duration) error {
	lock, err := share.Inherited()
	if err != nil {
		return Usage(err)
	}
	place, err := share.PlaceAt(socket)
	if err != nil {
		return Usage(err)
	}
	c, err := s.address(r, target)
	if err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	l, err := share.Listen(place)
	if err != nil {
		return err
	}
	if err := share.Detach(lock); err != nil {
		l.Close()
		return err
	}
	if len(c.config.SigningCommands) == 0 {
		_ = os.Chdir("/") // what somebody else wants to unmount
	}
	// What a session leaves behind is not worth collecting after every few.
	debug.SetGCPercent(400)
	h := &holder{
		contact: c, ctx: ctx, clients: make(map[string]*shellhttp.Client), taken: make(map[string]string),
		voices: make(map[share.Voice]struct{}),
	}
	s.ui.relay = h.say
	defer h.close()
	forwards := &heldForwards{open: h.link, sets: make(map[string]*tunnel.Set)}
	defer forwards.close()
	return h.serve(ctx, l, idle, forwards)
}

func (h *holder) serve(ctx context.Context, l *share.Listener, idle time.Duration, forwards *heldForwards) error {
	err := share.NewHolder(share.HolderConfig{
		Target: h.target.Name, URL: h.target.BaseURL.String(), Idle: idle, Open: h.open, Explain: h.explain,
		Forward: forwards.do, Forwards: forwards.names,
	}).Serve(ctx, l)
	if exit, ok := exitOf(ctx); ok {
		return exit
	}
	return err
}

// open opens a session with the first key that the agent takes.
func (h *holder) open(ctx context.Context, ask share.Ask, voice share.Voice) (share.Session, error) {
	over := h.listens(voice)
	var err error
	for _, key := range h.keysFor(ask.Source) {
		var session *shellhttp.Session
		if session, err = h.openAs(ctx, key, ask); err == nil {
			h.took(ask.Source, key)
			return heard{session.Lasting(func(o shellhttp.Outage) { voice.Outage(o.Over) }), over}, nil
		}
		if !isUnauthorized(err) {
			break
		}
		voice.Say(share.LevelDebug, key.Label+" was refused")
	}
	err = h.refused(ctx, err)
	over()
	return nil, err
}

func (h *holder) openAs(ctx context.Context, key targets.Identity, ask share.Ask) (*shellhttp.Session, error) {
	client, err := h.clientOf(key)
	if err != nil {
		return nil, err
	}
	if ask.InputReady {
		client.PrepareInput()
	}
	return client.Open(ctx, ask.Source, ask.Request)
}

// clientOf returns the client that signs with a key, which keeps a connection
// ready from its first use on.
func (h *holder) clientOf(key targets.Identity) (*shellhttp.Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := key.Signer.PublicKey().Thumbprint()
	if client := h.clients[id]; client != nil {
		return client, nil
	}
	client, err := h.client(key)
	if err != nil {
		return nil, err
	}
	h.clients[id] = client
	go client.KeepReady(h.ctx)
	return client, nil
}

// keysFor returns the keys in the order in which they are tried.
func (h *holder) keysFor(source string) []targets.Identity {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := slices.Clone(h.keys)
	for i, key := range keys {
		if key.Signer.PublicKey().Thumbprint() == h.taken[source] {
			return append(append([]targets.Identity{key}, keys[:i]...), keys[i+1:]...)
		}
	}
	return keys
}

// maxTaken bounds the sources whose key is remembered.
const maxTaken = 256

func (h *holder) took(source string, key targets.Identity) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.taken) < maxTaken {
		h.taken[source] = key.Signer.PublicKey().Thumbprint()
	}
}

// explain says what an error means to the guest who had it.
func (h *holder) explain(err error, session share.Session) share.Failure {
	if session != nil {
		err = explained(h.target.Name, session.Info(), err)
	}
	f := share.Failure{Code: codeTransport, Lines: explain(err)}
	var failed *failure
	if errors.As(err, &failed) {
		f.Code = failed.code
	}
	var exit Exit
	if errors.As(err, &exit) {
		f.Code = int(exit)
	}
	var gone *shellhttp.LostError
	f.Lost = errors.As(err, &gone)
	return f
}

// listens has a voice told what is said, until it is taken back.
func (h *holder) listens(v share.Voice) (over func()) {
	h.hearing.Lock()
	defer h.hearing.Unlock()
	h.voices[v] = struct{}{}
	return func() {
		h.hearing.Lock()
		defer h.hearing.Unlock()
		delete(h.voices, v)
	}
}

// say tells everybody who shares the connection something about it.
func (h *holder) say(level share.Level, text string) {
	h.hearing.Lock()
	var all []share.Voice
	for v := range h.voices {
		all = append(all, v)
	}
	h.hearing.Unlock()
	for _, v := range all {
		v.Say(level, text)
	}
}

func (h *holder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, client := range h.clients {
		client.Close()
	}
}

// heard is a session whose guest hears what the holder says until it leaves.
type heard struct {
	*shellhttp.Lasting
	over func()
}

// Detach implements [share.Session].
func (s heard) Detach() error {
	s.over()
	return s.Lasting.Detach()
}

// Close implements [share.Session].
func (s heard) Close() error {
	s.over()
	return s.Lasting.Close()
}
