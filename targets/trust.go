package targets

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"syscall"
	"time"

	"shellagent/jwtauth"
)

// Trust decides which agent may answer for a target.
type Trust struct {
	// File is known_hosts; when empty nothing is known and nothing is kept.
	File string
	// AcceptNew accepts the key of an agent that is met for the first time.
	AcceptNew bool
	// Ask asks a person about an agent that is met for the first time. nil means
	// that nobody is there to be asked.
	Ask func(context.Context, FirstContact) (bool, error)
	// Announced asks the agent for its host key (GET /v1/agent). It is called
	// only for a peer that a certificate authority vouches for.
	Announced func(context.Context, *url.URL, *tls.Config) (jwtauth.PublicKey, error)
	// Timeout bounds the first look at an agent; 0 means no limit but ctx.
	Timeout time.Duration
	// Dial connects for it; nil means net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// FirstContact is what a person is asked about.
type FirstContact struct {
	Target Target
	Key    jwtauth.PublicKey
	// KnownAs are the lines of File where the same key has another name.
	KnownAs []KnownHost
	File    string
}

// Peer is an agent whose host key is settled.
type Peer struct {
	Target  Target
	HostKey jwtauth.PublicKey
	// TLS accepts this agent and no other. It is the caller's to change.
	TLS *tls.Config
	// Added: the key was put into known_hosts just now.
	Added bool
	// Succeeded: the agent had announced this key, which replaced the one before
	// in known_hosts just now.
	Succeeded bool
	// Unsaved is why the key could not be put into known_hosts, if it could not.
	Unsaved error

	trust *Trust
	check *verifier

	learning sync.Mutex
}

// Establish settles the host key of a target: the known one, without a
// connection, or the one that the agent has, if it matches the fingerprint, a
// certificate authority vouches for it, or it is accepted. Refusals are
// *UnknownHostError, *ChangedHostKeyError, *FingerprintError and
// *CertificateError.
func (t *Trust) Establish(ctx context.Context, target Target) (*Peer, error) {
	known := &KnownHosts{}
	if t.File != "" {
		var err error
		if known, err = ReadKnownHosts(t.File); err != nil {
			return nil, err
		}
	}
	check, err := newVerifier(target, t.File)
	if err != nil {
		return nil, err
	}
	check.known = known.At(target.BaseURL.String())
	if key, ok := settled(target, check.known); ok {
		check.pinned = key
		return t.peer(target, check, key), nil
	}
	key, vouched, err := t.look(ctx, target, check)
	if err != nil {
		return nil, err
	}
	return t.accept(ctx, target, known, check, key, vouched)
}

// settled returns the one known key, if there is just one that the fingerprint allows.
func settled(target Target, known []KnownHost) (key jwtauth.PublicKey, ok bool) {
	for _, k := range known {
		if target.Fingerprint != "" && !k.Key.MatchesFingerprint(target.Fingerprint) {
			continue
		}
		if ok && !key.Equal(k.Key) {
			return key, false
		}
		key, ok = k.Key, true
	}
	return key, ok
}

// look connects and returns the agent's host key, and whether a certificate
// authority vouches for the peer that gave it.
func (t *Trust) look(ctx context.Context, target Target, check *verifier) (key jwtauth.PublicKey, vouched bool, err error) {
	// Nothing is sent over this connection: who answers is judged afterwards.
	state, err := t.handshake(ctx, target, baseTLS(target, func(tls.ConnectionState) error { return nil }))
	if err != nil {
		return key, false, err
	}
	key, vouched, err = check.identify(state)
	if err != nil || !vouched {
		return key, vouched, err
	}
	if t.Announced == nil {
		return key, true, errors.New("the agent's host key cannot be asked for")
	}
	key, err = t.Announced(ctx, target.BaseURL, check.authorityOnly())
	if err != nil {
		return key, true, fmt.Errorf("ask %s for its host key: %w", target.BaseURL, err)
	}
	return key, true, nil
}

// looks bounds how often an agent is looked at whose connections break: somebody
// listens, and may do better in a moment.
const looks = 6

func (t *Trust) handshake(ctx context.Context, target Target, conf *tls.Config) (tls.ConnectionState, error) {
	if t.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.Timeout)
		defer cancel()
	}
	for look, wait := 1, 50*time.Millisecond; ; look, wait = look+1, 2*wait {
		state, err := t.handshakeOnce(ctx, target, conf)
		if !brokeOff(err) || look == looks {
			return state, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return state, err
		}
	}
}

// brokeOff says that a connection ended in the middle of its handshake.
func brokeOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (t *Trust) handshakeOnce(ctx context.Context, target Target, conf *tls.Config) (tls.ConnectionState, error) {
	dial := t.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", target.BaseURL.Host)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	client := tls.Client(conn, conf)
	if err := client.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, fmt.Errorf("TLS with %s: %w", target.BaseURL, err)
	}
	return client.ConnectionState(), nil
}

// accept judges a key that known_hosts did not settle, and remembers it.
func (t *Trust) accept(ctx context.Context, target Target, known *KnownHosts, check *verifier, key jwtauth.PublicKey, vouched bool) (*Peer, error) {
	if check.knows(key) && target.Fingerprint == "" {
		check.pinned = key
		peer := t.peer(target, check, key)
		if check.announced(key) {
			peer.Succeeded, peer.Unsaved = peer.change(func(k *KnownHosts, base string) bool { return k.Succeed(base, key) })
		}
		return peer, nil
	}
	switch {
	case target.Fingerprint != "":
		if !key.MatchesFingerprint(target.Fingerprint) {
			return nil, &FingerprintError{Target: target, Presented: key}
		}
	case len(check.known) > 0:
		return nil, check.changed(key)
	case vouched, t.AcceptNew:
	default:
		if err := t.ask(ctx, target, known, key); err != nil {
			return nil, err
		}
	}
	check.pinned = key
	peer := t.peer(target, check, key)
	peer.Unsaved = t.remember(target, check, key)
	peer.Added = peer.Unsaved == nil && t.File != ""
	var changed *ChangedHostKeyError
	if errors.As(peer.Unsaved, &changed) {
		return nil, changed
	}
	return peer, nil
}

func (t *Trust) ask(ctx context.Context, target Target, known *KnownHosts, key jwtauth.PublicKey) error {
	if t.Ask == nil {
		return &UnknownHostError{Target: target, Key: key}
	}
	yes, err := t.Ask(ctx, FirstContact{Target: target, Key: key, KnownAs: known.With(key), File: t.File})
	if err != nil {
		return err
	}
	if !yes {
		return &UnknownHostError{Target: target, Key: key, Declined: true}
	}
	return nil
}

// remember puts the key into known_hosts. Another client may have met the same
// agent in the meantime: what it saw counts, unless a fingerprint says more.
func (t *Trust) remember(target Target, check *verifier, key jwtauth.PublicKey) error {
	if t.File == "" {
		return nil
	}
	return UpdateKnownHosts(t.File, func(k *KnownHosts) error {
		base := target.BaseURL.String()
		check.known = k.At(base)
		if len(check.known) > 0 && target.Fingerprint == "" && !check.knows(key) {
			return check.changed(key)
		}
		k.Set(base, key)
		check.known = k.At(base)
		return nil
	})
}

func (t *Trust) peer(target Target, check *verifier, key jwtauth.PublicKey) *Peer {
	return &Peer{Target: target, HostKey: key, TLS: baseTLS(target, check.verify), trust: t, check: check}
}

// Handshake connects once and tells what the agent proved.
func (p *Peer) Handshake(ctx context.Context) (tls.ConnectionState, error) {
	return p.trust.handshake(ctx, p.Target, p.TLS)
}

// ByAuthority reports whether the last connection was accepted because a
// certificate authority vouched for the peer, and not for its host key.
func (p *Peer) ByAuthority() bool { return p.check.authority.Load() }

// Recheck is for an agent that refused a token. Behind a certificate that an
// authority vouches for, a host key can change without the handshake showing
// it; Recheck asks for it and returns a *ChangedHostKeyError if it did.
func (p *Peer) Recheck(ctx context.Context) error {
	if !p.ByAuthority() || p.trust.Announced == nil {
		return nil
	}
	key, err := p.trust.Announced(ctx, p.Target.BaseURL, p.check.authorityOnly())
	if err != nil || key.Equal(p.HostKey) {
		return err
	}
	return p.check.changed(key)
}

// baseTLS is the part of the settings that all connections share. The name is
// checked by verify, where it matters.
func baseTLS(target Target, verify func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         serverName(target),
		InsecureSkipVerify: true,
		// Unlike VerifyPeerCertificate, this is called on resumption too.
		VerifyConnection: verify,
		Time:             time.Now,
	}
}
