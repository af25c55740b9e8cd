// Package sshagent stands between an ssh-agent and who may use it from elsewhere:
// it lets through what ssh and ssh-keygen ask for, and nothing else. The protocol
// is that of draft-ietf-sshm-ssh-agent.
//
// A key that ssh-agent holds may sign in to Shell Agent too, by signing a token.
// Whoever has a forwarded agent must not be able to have one signed: a request to
// sign passes only if its data cannot be anything but what SSH itself signs, a
// user's authentication (RFC 4252) or an SSHSIG (OpenSSH's PROTOCOL.sshsig).
package sshagent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Numbers of messages.
const (
	failure           = 5
	requestIdentities = 11
	identitiesAnswer  = 12
	signRequest       = 13
	signResponse      = 14
)

// maxMessage bounds a message in bytes, as OpenSSH's agent does.
const maxMessage = 256 << 10

// errMessage says that one side does not speak the protocol.
var errMessage = errors.New("a message to or from ssh-agent is malformed")

// Filter carries requests from remote to agent and answers back, one after the
// other, until remote ends between two, which is no error. What does not pass is
// answered with a failure; refused, unless nil, is told what it was. It reads no
// more than a message ahead, and closes neither side: whoever wants it to end
// earlier closes both.
func Filter(remote, agent io.ReadWriter, refused func(what string)) error {
	var buf []byte
	for {
		request, err := receive(remote, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		buf = request
		answer := []byte{failure}
		if wanted, why := judge(request); wanted != 0 {
			if answer, err = ask(agent, request, wanted); err != nil {
				return fmt.Errorf("ssh-agent: %w", err)
			}
		} else if refused != nil {
			refused(why)
		}
		if err := send(remote, answer); err != nil {
			return err
		}
	}
}

// judge returns the number of the answer to a request that may pass, or 0 and
// what it is.
func judge(request []byte) (wanted byte, why string) {
	switch request[0] {
	case requestIdentities:
		if len(request) == 1 {
			return identitiesAnswer, ""
		}
		return 0, "a list of keys with something behind it"
	case signRequest:
		if isSigned(request[1:]) {
			return signResponse, ""
		}
		return 0, "a signature of something that is neither a user's authentication to ssh nor an SSHSIG"
	}
	return 0, name(request[0])
}

// name is what a request that never passes would do.
func name(kind byte) string {
	switch kind {
	case 17, 25, 20, 26:
		return "the addition of a key"
	case 18, 19, 21:
		return "the removal of a key"
	case 22, 23:
		return "the locking of the agent"
	case 27:
		return "an extension of the protocol"
	}
	return fmt.Sprintf("a request of type %d", kind)
}

// ask passes a request on. An answer of another kind than the wanted one is a failure.
func ask(agent io.ReadWriter, request []byte, wanted byte) ([]byte, error) {
	if err := send(agent, request); err != nil {
		return nil, err
	}
	answer, err := receive(agent, nil)
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if answer[0] != wanted {
		return []byte{failure}, nil
	}
	return answer, nil
}

// receive reads one message, of one byte at least, into buf where that is large
// enough. io.EOF means that the other side ended between messages.
func receive(from io.Reader, buf []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxMessage {
		return nil, fmt.Errorf("%w: it has %d bytes", errMessage, n)
	}
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(from, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

func send(to io.Writer, message []byte) error {
	whole := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(message)), uint32(len(message)))
	_, err := to.Write(append(whole, message...))
	return err
}
