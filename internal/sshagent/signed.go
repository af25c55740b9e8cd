package sshagent

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Bounds of an SSH session's id, which is a hash: SHA-1's to SHA-512's, in bytes.
const (
	minSessionID = 20
	maxSessionID = 64
)

// userauthRequest is SSH_MSG_USERAUTH_REQUEST of RFC 4252.
const userauthRequest = 50

// sshsig begins what ssh-keygen -Y sign signs.
const sshsig = "SSHSIG"

// flags are those of a request to sign: which hash an RSA key signs with.
var flags = []uint32{0, 2, 4}

// isSigned says whether the body of a request to sign asks for what SSH signs:
// each byte of it must be accounted for.
func isSigned(body []byte) bool {
	r := reader{rest: body, ok: true}
	key, data, asked := r.text(), r.text(), r.number()
	if !r.end() || len(key) == 0 || !slices.Contains(flags, asked) {
		return false
	}
	return isAuthentication(data, key) || isSSHSIG(data)
}

// isAuthentication says whether data is what RFC 4252, section 7, has a user sign
// with a key, or the same bound to a host's key (OpenSSH's PROTOCOL, section 3.1).
func isAuthentication(data, key []byte) bool {
	r := reader{rest: data, ok: true}
	session, kind := r.text(), r.octet()
	user, service, method := r.text(), r.text(), r.text()
	signed, algorithm, same := r.octet(), r.text(), r.text()
	switch string(method) {
	case "publickey":
	case "publickey-hostbound-v00@openssh.com":
		if host := r.text(); len(host) == 0 {
			return false
		}
	default:
		return false
	}
	return r.end() && len(session) >= minSessionID && len(session) <= maxSessionID && kind == userauthRequest &&
		len(user) > 0 && string(service) == "ssh-connection" && signed == 1 && len(algorithm) > 0 && bytes.Equal(same, key)
}

// isSSHSIG says whether data is what PROTOCOL.sshsig of OpenSSH has a key sign:
// a hash, and what it is for.
func isSSHSIG(data []byte) bool {
	rest, ok := bytes.CutPrefix(data, []byte(sshsig))
	r := reader{rest: rest, ok: ok}
	namespace, _, hash, sum := r.text(), r.text(), r.text(), r.text()
	return r.end() && len(namespace) > 0 && len(sum) == map[string]int{"sha256": 32, "sha512": 64}[string(hash)] && len(sum) > 0
}

// reader takes data of RFC 4251, section 5, apart. Once it is not ok it returns
// zeros.
type reader struct {
	rest []byte
	ok   bool
}

// end says whether all that was read was there, and nothing else.
func (r *reader) end() bool { return r.ok && len(r.rest) == 0 }

func (r *reader) take(n uint32) []byte {
	if !r.ok || uint64(n) > uint64(len(r.rest)) {
		r.ok = false
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) number() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) text() []byte { return r.take(r.number()) }
