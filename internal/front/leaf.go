package front

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"shellagent/broker"
)

const (
	// retryLeaf is when an unanswered request for a leaf is made again.
	retryLeaf = 15 * time.Second
	// checkLeaf is how often the wall clock is looked at, which may be set.
	checkLeaf = time.Minute
)

// leaf is the certificate that the front shows: one that the broker signs for
// a key that never leaves this process, both new with every renewal, or one
// that the agent was configured with.
type leaf struct {
	link  signer
	fixed bool // a configured certificate: nothing is asked for
	log   *slog.Logger

	current atomic.Pointer[tls.Certificate]
	first   sync.Once
	there   chan struct{} // closed when current is first set
	renewed chan struct{} // a leaf came, or must

	mu      sync.Mutex
	pending *ecdsa.PrivateKey
	renewAt time.Time // wall clock
}

// signer asks the broker for a leaf for a key.
type signer interface {
	RequestLeaf(*ecdsa.PublicKey) error
}

func newLeaf(link signer, fixed bool, log *slog.Logger) *leaf {
	return &leaf{link: link, fixed: fixed, log: log, there: make(chan struct{}), renewed: make(chan struct{}, 1)}
}

// config is for TLS 1.3 alone: nothing older is spoken to.
func (l *leaf) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		// Small records at the start are for pages that are drawn as they come.
		DynamicRecordSizingDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := l.current.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("there is no certificate yet")
		},
	}
}

// keep asks for a leaf, and for the next one when two thirds of its life are
// over, until ctx ends.
func (l *leaf) keep(ctx context.Context) {
	if l.fixed {
		return
	}
	for {
		wait := l.untilRenewal()
		if wait <= 0 {
			if err := l.request(); err != nil {
				l.log.Error("no leaf can be asked for", "err", err)
			}
			wait = retryLeaf
		}
		select {
		case <-time.After(min(wait, checkLeaf)):
		case <-l.renewed:
		case <-ctx.Done():
			return
		}
	}
}

func (l *leaf) untilRenewal() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.renewAt)
}

// renew has keep ask for a leaf now. The current one is shown until it comes.
func (l *leaf) renew() {
	l.mu.Lock()
	l.renewAt = time.Time{}
	l.pending = nil // an answer on its way is of the key before
	l.mu.Unlock()
	l.wake()
}

// wake has keep look at what is due.
func (l *leaf) wake() {
	select {
	case l.renewed <- struct{}{}:
	default:
	}
}

func (l *leaf) request() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.pending = key
	l.mu.Unlock()
	return l.link.RequestLeaf(&key.PublicKey)
}

// signed takes the broker's answer.
func (l *leaf) signed(chain [][]byte) {
	if len(chain) == 0 {
		l.log.Warn("the broker signed no leaf: it will be asked again")
		return
	}
	if err := l.take(chain); err != nil {
		l.log.Error("the broker's leaf cannot be used", "err", err)
		return
	}
	l.wake()
}

func (l *leaf) take(chain [][]byte) error {
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending == nil || !l.pending.PublicKey.Equal(cert.PublicKey) {
		return errors.New("it is for another key")
	}
	now := time.Now()
	l.renewAt = now.Add(cert.NotAfter.Sub(now) * 2 / 3).Round(0)
	l.set(&tls.Certificate{Certificate: chain, PrivateKey: l.pending, Leaf: cert})
	l.pending = nil
	return nil
}

// configured takes a certificate of the configuration.
func (l *leaf) configured(c broker.Certificate) {
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err == nil {
		l.set(&tls.Certificate{Certificate: c.Chain, PrivateKey: key})
		return
	}
	l.log.Error("the configured certificate cannot be used", "err", fmt.Errorf("key: %w", err))
}

func (l *leaf) set(c *tls.Certificate) {
	l.current.Store(c)
	l.first.Do(func() { close(l.there) })
}
