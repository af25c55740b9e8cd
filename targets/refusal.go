package targets

import (
	"fmt"

	"shellagent/jwtauth"
)

// UnknownHostError says that nobody vouched for an agent at first contact.
type UnknownHostError struct {
	Target Target
	Key    jwtauth.PublicKey
	// Declined: a person was asked and said no. Otherwise there was nobody to ask.
	Declined bool
}

func (e *UnknownHostError) Error() string {
	if e.Declined {
		return fmt.Sprintf("the agent at %s was not accepted", e.Target.BaseURL)
	}
	return fmt.Sprintf("the agent at %s is not known, and nobody is there to be asked", e.Target.BaseURL)
}

// ChangedHostKeyError says that an agent has another key than it had.
type ChangedHostKeyError struct {
	Target    Target
	Presented jwtauth.PublicKey
	// Known are the lines of File that say otherwise.
	Known []KnownHost
	File  string
}

func (e *ChangedHostKeyError) Error() string {
	return fmt.Sprintf("the host key of %s has changed: it is %s now", e.Target.BaseURL, e.Presented.Thumbprint())
}

// FingerprintError says that an agent has another key than the fingerprint asks for.
type FingerprintError struct {
	Target    Target
	Presented jwtauth.PublicKey
}

func (e *FingerprintError) Error() string {
	return fmt.Sprintf("the host key of %s is %s (%s), not the expected %s",
		e.Target.BaseURL, e.Presented.Thumbprint(), e.Presented.OpenSSHFingerprint(), e.Target.Fingerprint)
}

// CertificateError says that a server showed a certificate that neither a host
// key nor a certificate authority stands for: likely something else than an agent.
type CertificateError struct {
	Target Target
	// Err is why chain and name do not verify.
	Err error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("what answers at %s is no agent with a host key, and its certificate does not verify: %v", e.Target.BaseURL, e.Err)
}

func (e *CertificateError) Unwrap() error { return e.Err }
