// Package targets is the client's side of who is who: which host a name on the
// command line means, which key signs for the person, and which agent may
// answer.
//
// The first comes from the client's configuration ([Load], [Config.Target]),
// the second from a key file, a signing command or ssh-agent ([Identities]),
// the third from known_hosts, a fingerprint or a certificate authority
// ([Trust]). Nothing here speaks HTTP and nothing writes to the terminal: what
// a person must be asked is a function the caller gives.
package targets
