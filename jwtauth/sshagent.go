package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentTimeout bounds one question to ssh-agent when ctx does not: a person
// may have to touch or confirm.
const agentTimeout = 60 * time.Second

// AgentKey is one key that ssh-agent offers.
type AgentKey struct {
	// Signer is nil when the key cannot sign tokens; Reason says why.
	Signer *AgentSigner
	Reason string
	// Label is the key's comment without control characters, Kind its type
	// ("ssh-ed25519").
	Label string
	Kind  string
}

// AgentKeys lists what the ssh-agent at a Unix socket offers, in its order,
// keys that cannot be used included.
func AgentKeys(ctx context.Context, socket string) ([]AgentKey, error) {
	if socket == "" {
		return nil, errors.New("ssh-agent: no socket: start one, so that SSH_AUTH_SOCK is set, or name a key file")
	}
	var listed []*agent.Key
	err := askAgent(ctx, socket, func(a agent.ExtendedAgent) (err error) {
		listed, err = a.List()
		return err
	})
	if err != nil {
		return nil, err
	}
	keys := make([]AgentKey, 0, len(listed))
	for _, key := range listed {
		keys = append(keys, newAgentKey(socket, key))
	}
	return keys, nil
}

func newAgentKey(socket string, listed *agent.Key) AgentKey {
	k := AgentKey{Label: stripControl(listed.Comment), Kind: stripControl(listed.Format)}
	key, err := ssh.ParsePublicKey(listed.Blob)
	if err != nil {
		k.Reason = err.Error()
		return k
	}
	public, err := fromSSH(key)
	if err != nil {
		k.Reason = err.Error()
		return k
	}
	k.Signer = &AgentSigner{socket: socket, key: key, public: public}
	return k
}

// AgentSigners returns the keys of the ssh-agent at socket that can sign
// tokens, and their labels, one for each. When it has keys and none can be
// used, the error says why for each one; without any key both are empty.
func AgentSigners(ctx context.Context, socket string) (signers []Signer, labels []string, err error) {
	keys, err := AgentKeys(ctx, socket)
	if err != nil {
		return nil, nil, err
	}
	var reasons []string
	for _, k := range keys {
		if k.Signer == nil {
			reasons = append(reasons, fmt.Sprintf("%s %s: %s", k.Kind, k.Label, k.Reason))
			continue
		}
		signers = append(signers, k.Signer)
		labels = append(labels, k.Label)
	}
	if len(signers) == 0 && len(reasons) > 0 {
		return nil, nil, fmt.Errorf("ssh-agent: none of its keys can sign tokens: %s", strings.Join(reasons, "; "))
	}
	return signers, labels, nil
}

// AgentSigner signs with a key that ssh-agent holds. Each signature uses a
// connection of its own, so an idle signer holds nothing.
type AgentSigner struct {
	socket string
	key    ssh.PublicKey
	public PublicKey
}

var _ Signer = (*AgentSigner)(nil)

// PublicKey returns the public half.
func (s *AgentSigner) PublicKey() PublicKey { return s.public }

// Sign asks the agent. It waits for the person, up to 60 s unless ctx ends first.
func (s *AgentSigner) Sign(ctx context.Context, signingInput []byte) ([]byte, error) {
	var flags agent.SignatureFlags
	if s.public.Alg() == AlgRS256 {
		flags = agent.SignatureFlagRsaSha256
	}
	var signature *ssh.Signature
	err := askAgent(ctx, s.socket, func(a agent.ExtendedAgent) (err error) {
		signature, err = a.SignWithFlags(s.key, signingInput, flags)
		return err
	})
	if err != nil {
		return nil, err
	}
	sig, err := jwsSignature(signature)
	if err == nil {
		err = s.public.Verify(signingInput, sig)
	}
	if err != nil {
		return nil, fmt.Errorf("ssh-agent: its signature is not usable: %w", err)
	}
	return sig, nil
}

// jwsSignature turns SSH's form of a signature into RFC 7518's.
func jwsSignature(sig *ssh.Signature) ([]byte, error) {
	switch sig.Format {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoRSASHA256:
		return sig.Blob, nil
	case ssh.KeyAlgoECDSA256:
		var pair struct{ R, S *big.Int } // RFC 5656 §3.1.2
		if err := ssh.Unmarshal(sig.Blob, &pair); err != nil {
			return nil, err
		}
		if pair.R.Sign() < 0 || pair.S.Sign() < 0 || pair.R.BitLen() > 256 || pair.S.BitLen() > 256 {
			return nil, errors.New("r or s is out of range")
		}
		out := make([]byte, 64)
		pair.R.FillBytes(out[:32])
		pair.S.FillBytes(out[32:])
		return out, nil
	default:
		return nil, fmt.Errorf("unexpected format %q", sig.Format)
	}
}

func askAgent(ctx context.Context, socket string, ask func(agent.ExtendedAgent) error) error {
	ctx, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("ssh-agent: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// Without a Close method the client needs no goroutine of its own.
	client := agent.NewClient(struct{ io.ReadWriter }{conn})
	if err := ask(client); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("ssh-agent: %w", err)
	}
	return nil
}

func stripControl(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}
