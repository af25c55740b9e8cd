// Package jwtauth is identity: keys, the tokens they sign, and how fresh a
// token must be.
//
// A token is a JWT in compact form (RFC 7515, RFC 7519) of one of three types
// that never stand in for each other: an identity token is signed by the key a
// person guards, a request token by the session key that an identity token
// named, a host token by the agent's host key. Every token is bound to one
// request or one session, lives five seconds and is taken once.
//
// The order of the checks is the package's promise. [Parse] bounds a token and
// reads its header with a scanner that knows exactly three members;
// [Unverified.Verify] checks the signature, or [MAC.Verify] the MAC that was
// agreed in place of one, over the raw bytes; only then is JSON parsed. [Guard]
// judges time and replay of identity tokens, [Window] replay of request tokens.
// What a key may do is not decided here.
//
// testdata/vectors.json holds keys, tokens and refusals with a fixed clock, so
// that another implementation can check itself.
package jwtauth
