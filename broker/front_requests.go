package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// receive handles what the front says. Anything that is not a message it may
// send is its end.
func (r *frontRun) receive() error {
	b := make([]byte, maxReport+1)
	pace := rate.NewLimiter(messageRate, messageBurst)
	for {
		if err := pace.Wait(r.serve); err != nil {
			return nil
		}
		// Read takes no descriptors: the kernel closes what a front attaches.
		n, err := r.control.Read(b)
		if err != nil {
			if hungUp(err) {
				return errors.New("front closed its control socket")
			}
			return err
		}
		if n > maxReport {
			return fmt.Errorf("front sent a control message of more than %d bytes: %w", maxReport, errCodec)
		}
		if err := r.handle(controlKind(b[0]), b[1:n]); err != nil {
			return fmt.Errorf("front sent: %w", err)
		}
	}
}

func (r *frontRun) handle(kind controlKind, payload []byte) error {
	switch kind {
	case controlReady:
		if r.ready {
			return fmt.Errorf("ready twice: %w", errCodec)
		}
		r.ready = true
		r.front.everReady.Store(true)
		if r.front.cfg.Ready != nil {
			r.front.cfg.Ready()
		}
		return nil
	case controlDial:
		return r.dial()
	case controlLeafRequest:
		return r.signLeaf(payload)
	case controlRefused:
		return r.refused(payload)
	default:
		return fmt.Errorf("control message of kind %d: %w", kind, errCodec)
	}
}

// refused passes on refusals that the front counted.
func (r *frontRun) refused(payload []byte) error {
	if !r.reports.Allow() {
		return fmt.Errorf("refusals too often: %w", errCodec)
	}
	all, err := decodeRefusals(payload)
	if err != nil || r.front.cfg.Refused == nil {
		return err
	}
	for _, refused := range all {
		r.front.cfg.Refused(refused.reason, refused.remote, uint64(refused.count))
	}
	return nil
}

// dial gives the front a connection, or none when there are too many.
func (r *frontRun) dial() error {
	select {
	case r.front.conns <- struct{}{}:
	default:
		return r.queue(outgoing{message: []byte{byte(controlConn)}})
	}
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		<-r.front.conns
		r.full.Do(func() { r.log.Error("no connection for the front", "err", err) })
		return r.queue(outgoing{message: []byte{byte(controlConn)}})
	}
	conn, err := unixConn(ours)
	if err != nil {
		<-r.front.conns
		theirs.Close()
		return err
	}
	r.front.serving.Go(func() {
		defer func() { <-r.front.conns }()
		if err := ServeConn(r.serve, conn, r.front.cfg.Handler); err != nil {
			r.breaks(fmt.Errorf("connection: %w", err))
		}
	})
	return r.queue(outgoing{message: []byte{byte(controlConn)}, file: theirs})
}

// signLeaf answers a request for a leaf. An answer without a chain tells the
// front to ask again later.
func (r *frontRun) signLeaf(point []byte) error {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return fmt.Errorf("leaf request: %w: %w", errCodec, err)
	}
	answer := []byte{byte(controlLeaf)}
	switch {
	case r.front.cfg.SignLeaf == nil:
		return fmt.Errorf("leaf request, but there is a certificate: %w", errCodec)
	case !r.leaves.Allow():
		return fmt.Errorf("leaf requests too often: %w", errCodec)
	}
	chain, err := r.front.cfg.SignLeaf(key)
	if err != nil {
		r.log.Error("no leaf for the front", "err", err)
		return r.queue(outgoing{message: answer})
	}
	return r.queue(outgoing{message: appendList(answer, chain)})
}
