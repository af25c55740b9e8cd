package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"shellagent/internal/terminal"
	"shellagent/jwtauth"
	"shellagent/shell/shellhttp"
	"shellagent/targets"
)

// maxIdentities bounds how many keys of ssh-agent are tried, as sshd bounds it
// (MaxAuthTries): every refused one counts against this address.
const maxIdentities = 6

// contact is an agent whose host key is settled, and the keys to sign in with.
type contact struct {
	*surroundings
	reach  *reach
	config *targets.Config
	target targets.Target
	peer   *targets.Peer
	keys   []targets.Identity
	// keyring, unless nil, has the keys that several contacts share.
	keyring *keyring
	// aside says that another session shows what becomes of the connection.
	aside bool
	// way makes connections to the agent; nil means TCP's.
	way func(ctx context.Context, network, address string) (net.Conn, error)
}

// address finds the target. Its errors are of the command line or the configuration.
func (s *surroundings) address(r *reach, name string) (*contact, error) {
	if err := r.check(s.ui); err != nil {
		return nil, err
	}
	config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
	if err != nil {
		return nil, Usage(err)
	}
	return s.addressIn(config, r, name)
}

// addressOf is address with the source there: the one that is named, else the
// target's.
func (s *surroundings) addressOf(r *reach, target, source string) (*contact, string, error) {
	c, err := s.address(r, target)
	if err != nil {
		return nil, "", err
	}
	if source, err = c.target.PickSource(source); err != nil {
		return nil, "", Usage(err)
	}
	return c, source, nil
}

// addressIn is address with a configuration that was read.
func (s *surroundings) addressIn(config *targets.Config, r *reach, name string) (*contact, error) {
	c := &contact{surroundings: s, reach: r, config: config}
	var err error
	if c.target, err = c.config.Target(name, r.port); err != nil {
		return nil, Usage(err)
	}
	if err := r.ssh.move(&c.target); err != nil {
		return nil, Usage(err)
	}
	if r.fingerprint != "" {
		c.target.Fingerprint = r.fingerprint
	}
	if r.ca != "" {
		c.target.CAPath = r.ca
	}
	if c.way, err = s.wayTo(r, c.config, c.target); err != nil {
		return nil, Usage(fmt.Errorf("target %s: jump: %w", c.target.Name, err))
	}
	s.ui.debug("target %s is %s", c.target.Name, c.target.BaseURL)
	return c, nil
}

// settle does everything else that comes before the first request, once.
func (c *contact) settle(ctx context.Context) error {
	if c.peer != nil {
		return nil
	}
	if err := c.findKeys(ctx); err != nil {
		return err
	}
	return c.establish(ctx)
}

func (c *contact) findKeys(ctx context.Context) (err error) {
	if c.keyring != nil {
		c.keys, err = c.keyring.find(ctx, c)
	} else {
		c.keys, err = c.searchKeys(ctx)
	}
	return err
}

func (c *contact) searchKeys(ctx context.Context) ([]targets.Identity, error) {
	options := c.identityOptions()
	if !c.reach.batch && terminal.CanAsk() {
		options.Passphrase = func(path string) ([]byte, error) { return askSecret(ctx, fmt.Sprintf(askPassphrase, path)) }
	}
	keys, err := c.reach.ssh.keys(ctx, c.ui, options)
	switch {
	case errors.Is(err, targets.ErrNoIdentity):
		return nil, Usage(fmt.Errorf("%w; a new key: %s keys generate -o ~/.ssh/id_shellagent", err, c.ui.name))
	case err != nil:
		if exit, ok := exitOf(ctx); ok {
			return nil, exit
		}
		return nil, Usage(err)
	}
	return keys[:min(len(keys), maxIdentities)], nil
}

func (c *contact) identityOptions() targets.IdentityOptions {
	return targets.IdentityOptions{
		File: c.reach.identity, Config: c.config, AgentSocket: c.getenv("SSH_AUTH_SOCK"), Stderr: c.stderr,
	}
}

// establish settles the host key. Its errors are of the connection or a refusal.
func (c *contact) establish(ctx context.Context) error {
	trust := &targets.Trust{
		File: targets.DefaultPaths(c.getenv).KnownHosts(), AcceptNew: c.reach.acceptNew,
		Announced: c.announced, Timeout: c.reach.connectTimeout, Dial: c.way,
	}
	if c.reach.ssh.forget {
		trust.File = ""
	}
	if !c.reach.batch && !c.reach.ssh.strict && terminal.CanAsk() {
		trust.Ask = c.askFirstContact
	}
	peer, err := trust.Establish(ctx, c.target)
	if err != nil {
		if exit, ok := exitOf(ctx); ok {
			return exit
		}
		return failWith(codeTransport, err)
	}
	c.peer = peer
	if peer.Added {
		c.ui.note("%s is known from now on: %s", c.target.BaseURL, peer.HostKey.Thumbprint())
	}
	if peer.Succeeded {
		c.ui.note("%s has the host key that it announced, %s; the one before is forgotten", c.target.BaseURL, peer.HostKey.Thumbprint())
	}
	if peer.Unsaved != nil {
		c.ui.warn("the host key cannot be kept, and will be asked for again: %v", peer.Unsaved)
	}
	c.ui.debug("host key %s", peer.HostKey.Thumbprint())
	return nil
}

// announced asks a peer that a certificate authority vouches for.
func (c *contact) announced(ctx context.Context, base *url.URL, conf *tls.Config) (jwtauth.PublicKey, error) {
	client, err := shellhttp.NewClient(shellhttp.ClientConfig{BaseURL: base, TLS: conf, Dial: c.way, Timeout: c.reach.connectTimeout})
	if err != nil {
		return jwtauth.PublicKey{}, err
	}
	defer client.Close()
	info, err := client.Agent(ctx)
	if err != nil {
		return jwtauth.PublicKey{}, err
	}
	key, _, err := jwtauth.ParsePublicKey(info.HostKey)
	if err != nil {
		return key, fmt.Errorf("what answers is no agent: host key: %w", err)
	}
	return key, nil
}

func (c *contact) client(key targets.Identity) (*shellhttp.Client, error) {
	c.ui.debug("sign with %s (%s)", key.Label, key.Signer.PublicKey().Thumbprint())
	return shellhttp.NewClient(shellhttp.ClientConfig{
		BaseURL: c.target.BaseURL, TLS: c.peer.TLS, HostKey: c.peer.HostKey, Succeeds: c.learn,
		Signer: signer{key}, Encoding: c.reach.encoding(), Timeout: c.reach.connectTimeout,
		Cover: c.reach.cover, Dial: c.way,
	})
}

// signer tells failures to sign, which are of this side, from those of the agent.
type signer struct{ targets.Identity }

func (s signer) PublicKey() jwtauth.PublicKey { return s.Signer.PublicKey() }

func (s signer) Sign(ctx context.Context, input []byte) ([]byte, error) {
	sig, err := s.Signer.Sign(ctx, input)
	if err != nil {
		return nil, Usage(fmt.Errorf("cannot sign with %s: %w", s.Label, err))
	}
	return sig, nil
}

// try gives each key to do until one is not refused. It leaves the client that
// did it open.
func (c *contact) try(ctx context.Context, do func(*shellhttp.Client) error) (*shellhttp.Client, error) {
	var err error
	for _, key := range c.keys {
		var client *shellhttp.Client
		if client, err = c.client(key); err != nil {
			return nil, failWith(codeTransport, err)
		}
		if c.reach.compress {
			client.Compress()
		}
		if err = do(client); err == nil {
			return client, nil
		}
		client.Close()
		if !isUnauthorized(err) {
			break
		}
		c.ui.debug("%s was refused", key.Label)
	}
	return nil, c.refused(ctx, err)
}

// refused says why an agent took no key.
func (c *contact) refused(ctx context.Context, err error) error {
	if exit, ok := exitOf(ctx); ok {
		return exit
	}
	if isUnauthorized(err) {
		if changed := c.peer.Recheck(ctx); changed != nil {
			return failWith(codeTransport, changed)
		}
	}
	return failWith(codeTransport, err)
}

func isUnauthorized(err error) bool {
	var p *shellhttp.Problem
	return errors.As(err, &p) && p.Code == "unauthorized"
}
