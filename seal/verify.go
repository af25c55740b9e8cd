package seal

import (
	"errors"
	"fmt"

	"shellagent/jwtauth"
)

// ErrSignature says that a link was not signed by the seal key: what it stands
// for, or something before it, is not what was written.
var ErrSignature = errors.New("the seal does not hold")

// Verifier checks links of one agent. It is safe for concurrent use.
type Verifier struct{ key jwtauth.PublicKey }

// NewVerifier returns a verifier of what the certified key sealed, once the
// certificate holds with the host key that is known. The times of what is sealed
// are not held against the certificate's: see the package.
func NewVerifier(certificate string, host jwtauth.PublicKey) (*Verifier, error) {
	c, err := jwtauth.VerifySeal(certificate, host)
	if err != nil {
		return nil, err
	}
	return &Verifier{key: c.Key}, nil
}

// Verify returns an error that is [ErrSignature] unless the seal key signed
// exactly this link.
func (v *Verifier) Verify(p Purpose, l Link, signature []byte) error {
	if len(signature) != SignatureSize {
		return fmt.Errorf("%w: a signature has %d bytes, this one %d", ErrSignature, SignatureSize, len(signature))
	}
	if err := v.key.Verify(l.signed(p), signature); err != nil {
		return ErrSignature
	}
	return nil
}
