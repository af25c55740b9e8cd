package jwtauth

import "crypto/ecdh"

// Vectors need shares that are known beforehand.

// OfferWith is Offer with a share of the caller's.
func (s *RequestSigner) OfferWith(share *ecdh.PrivateKey) string {
	s.share = share
	return claimOfShare(share)
}

// SkipTo makes the next token's counter n.
func (s *RequestSigner) SkipTo(n uint64) { s.counter.Store(n - 1) }

// AgreeMACWith is AgreeMAC with a share of the caller's.
var AgreeMACWith = agreeMAC
