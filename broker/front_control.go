package broker

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"shellagent/shell"
)

// The control socket between broker and front is a Unix SOCK_SEQPACKET pair.
// A message is one packet: a kind byte and a payload of at most maxControl
// bytes. Descriptors go one way only, from the broker to the front, so that
// the front needs no system call that makes or passes one, and the broker
// never holds a descriptor that it did not make.
const (
	maxControl = 64 << 10 // from the broker
	maxReport  = 4 << 10  // from the front
)

// controlKind is the first byte of a message.
type controlKind byte

const (
	controlSetup       controlKind = 1 // Setup in JSON; the first message
	controlCertificate controlKind = 2 // a list: the PKCS #8 key, then the chain
	controlLeaf        controlKind = 3 // a list: the chain; empty when it could not be signed
	controlAgent       controlKind = 4 // the agent document
	controlConn        controlKind = 5 // answers controlDial, in order; without a descriptor it is a refusal
	controlDrain       controlKind = 6 // milliseconds as uint32
	controlRenew       controlKind = 7 // ask for a leaf now: the host key is another one

	controlReady       controlKind = 16 // the front serves
	controlLeafRequest controlKind = 17 // an uncompressed P-256 point
	controlDial        controlKind = 18 // asks for a connection
	controlRefused     controlKind = 19 // refusals, counted
)

// Setup is what the front is told when it starts.
type Setup struct {
	// BasePath is the path below which the agent answers: "" or "/prefix".
	BasePath string `json:"basePath"`
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `json:"trustedProxies,omitempty"`
	// Agent is the JSON object of GET /v1/agent; the front adds "timeMs".
	Agent []byte `json:"agent"`
	// MaxCalls bounds the calls in progress; 0 means 512.
	MaxCalls int `json:"maxCalls"`
	// NoFile is the front's limit of open files; 0 leaves it alone.
	NoFile uint64 `json:"noFile"`
	// Listeners is how many listening sockets the front inherits. [Front] sets it.
	Listeners int `json:"listeners"`
	// Metrics says that one more socket, after the listeners, is for scrapes of
	// the metrics. [Front] sets it.
	Metrics bool `json:"metrics"`
	// Certificate says that a certificate will be sent, and that the front
	// must not ask for a leaf. [Front] sets it.
	Certificate bool `json:"certificate"`
}

// Certificate is a TLS certificate with its key, as the front needs it.
type Certificate struct {
	Chain [][]byte // DER, the leaf first
	Key   []byte   // PKCS #8 DER
}

func controlMessage(kind controlKind, payload []byte) ([]byte, error) {
	if len(payload) > maxControl {
		return nil, fmt.Errorf("control message %d of %d bytes is over %d", kind, len(payload), maxControl)
	}
	return append([]byte{byte(kind)}, payload...), nil
}

func setupMessage(s Setup) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return controlMessage(controlSetup, b)
}

func certificateMessage(c *Certificate) ([]byte, error) {
	return controlMessage(controlCertificate, appendList(nil, append([][]byte{c.Key}, c.Chain...)))
}

func drainMessage(grace time.Duration) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(controlDrain)}, uint32(grace.Milliseconds()))
}

func decodeDrain(b []byte) (time.Duration, error) {
	f := fields{rest: b}
	ms := f.uint32()
	if !f.done() {
		return 0, fmt.Errorf("drain: %w", errCodec)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// maxList bounds a certificate chain.
const maxList = 16

func appendList(dst []byte, list [][]byte) []byte {
	for _, item := range list {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(item)))
		dst = append(dst, item...)
	}
	return dst
}

// decodeList is the inverse of appendList. The items alias b.
func decodeList(b []byte) ([][]byte, error) {
	f := fields{rest: b}
	var list [][]byte
	for len(f.rest) > 0 && !f.bad {
		if len(list) == maxList {
			return nil, fmt.Errorf("list of more than %d: %w", maxList, errCodec)
		}
		list = append(list, f.bytes(f.uint32(), maxControl))
	}
	if f.bad {
		return nil, fmt.Errorf("list: %w", errCodec)
	}
	return list, nil
}

// refusals are refusals of one reason and one address.
type refusals struct {
	reason shell.Reason
	remote netip.Addr
	count  uint32
}

// maxRefusals bounds the refusals of one message, and so what the front holds
// back until it reports.
const maxRefusals = 64

// frontReasons are what the front can find by itself. A reason travels as its
// index, so that the front cannot make one up.
var frontReasons = []shell.Reason{
	shell.ReasonMalformed, shell.ReasonOrigin, shell.ReasonTransferEncoding, shell.ReasonAuthorization,
	shell.ReasonNoToken, shell.ReasonTargetForm, shell.ReasonNoLength, shell.ReasonBodyTooLarge,
	shell.ReasonHeaderTooLarge, shell.ReasonBodyTimeout, shell.ReasonUnavailable,
	shell.ReasonTokenMalformed, shell.ReasonRoute, shell.ReasonMethod, shell.ReasonInternal,
}

// frontReason returns the index of a reason in frontReasons; what is not there
// counts as malformed.
func frontReason(reason shell.Reason) byte {
	for i, r := range frontReasons {
		if r == reason {
			return byte(i)
		}
	}
	return 0
}

func appendRefusals(dst []byte, all []refusals) []byte {
	for _, r := range all {
		dst = append(dst, frontReason(r.reason))
		dst = binary.BigEndian.AppendUint32(dst, r.count)
		dst = appendAddr(dst, r.remote)
	}
	return dst
}

// decodeRefusals is the inverse of appendRefusals.
func decodeRefusals(b []byte) ([]refusals, error) {
	f := fields{rest: b}
	var all []refusals
	for len(f.rest) > 0 && !f.bad {
		index, count, remote := f.uint8(), f.uint32(), f.addr()
		if f.bad || int(index) >= len(frontReasons) || count == 0 || len(all) == maxRefusals {
			return nil, fmt.Errorf("refusals: %w", errCodec)
		}
		all = append(all, refusals{frontReasons[index], remote, count})
	}
	return all, nil
}
