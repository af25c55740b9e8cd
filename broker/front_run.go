package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// Bounds of what a front may ask of the broker. At the first it is made to
// wait; beyond the others no honest front ever comes.
const (
	messageRate  = 500 // messages a second
	messageBurst = 1000
	leafEvery    = 10 * time.Second // a leaf lives for hours
	leafBurst    = 5
	reportEvery  = time.Second / 2 // refusals are reported once a second
	reportBurst  = 10
	// sendTimeout is how long the front may leave its control socket unread.
	sendTimeout = 3 * time.Second
	// lastWords is how long a dead front's messages are read.
	lastWords = time.Second
)

// frontRun is one front from its start to its end.
type frontRun struct {
	front   *Front
	serve   context.Context // for its connections: they end with the agent, or when it hangs up
	log     *slog.Logger
	child   *child
	control *net.UnixConn
	out     chan outgoing
	leaves  *rate.Limiter
	reports *rate.Limiter
	ready   bool
	full    sync.Once     // the lack of descriptors is logged once
	broken  chan error    // why the front must go
	gone    chan struct{} // closed when the child ended
}

// outgoing is a message for the front, with a descriptor or none.
type outgoing struct {
	message []byte
	file    *os.File // closed once it is sent
}

func (o outgoing) close() {
	if o.file != nil {
		o.file.Close()
	}
}

// start starts a front with the sockets it inherits.
func (f *Front) start(serve context.Context) (*frontRun, error) {
	f.wakeListeners()
	ours, theirs, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	control, err := unixConn(ours)
	if err != nil {
		return nil, err
	}
	output, stderr, err := os.Pipe()
	if err != nil {
		control.Close()
		return nil, err
	}
	defer stderr.Close()
	c, err := startFront(&f.cfg, stderr, append([]*os.File{theirs}, f.listeners...))
	if err != nil {
		control.Close()
		output.Close()
		return nil, err
	}
	raiseFiles(c.process.Pid, f.cfg.Setup.NoFile)
	r := &frontRun{
		front: f, serve: serve, child: c, control: control, out: make(chan outgoing, 16),
		log:     f.cfg.Log.With("pid", c.process.Pid),
		leaves:  rate.NewLimiter(rate.Every(leafEvery), leafBurst),
		reports: rate.NewLimiter(rate.Every(reportEvery), reportBurst),
		broken:  make(chan error, 1), gone: make(chan struct{}),
	}
	go relayOutput(output, r.log)
	return r, nil
}

// supervise feeds the front until it is gone, and says why it is.
func (r *frontRun) supervise(ctx context.Context) error {
	var wg sync.WaitGroup
	heard := make(chan struct{})
	wg.Go(func() { defer close(heard); r.breaks(r.receive()) })
	wg.Go(func() { r.breaks(r.send()) })
	var why error
	select {
	case <-r.child.exited:
		why = errors.New(r.child.ended())
	case why = <-r.broken:
		// A front that breaks the rules ends now. One whose socket is closed
		// has most likely ended by itself, and then that is what to tell.
		if errors.Is(why, errCodec) {
			break
		}
		select {
		case <-r.child.exited:
			why = errors.New(r.child.ended())
		case <-time.After(time.Second):
		}
	case p := <-r.front.pauses:
		why = p
	case <-ctx.Done():
		r.drain()
	}
	r.child.kill()
	// What it said before it ended counts: that it was ready, above all.
	select {
	case <-heard:
	case <-time.After(lastWords):
	}
	close(r.gone)
	r.control.Close()
	wg.Wait()
	for {
		select {
		case o := <-r.out:
			o.close()
		default:
			return why
		}
	}
}

// breaks ends the front, for the first reason that is given.
func (r *frontRun) breaks(why error) {
	select {
	case r.broken <- why:
	default:
	}
}

// drain asks the front to finish and waits for that, within bounds.
func (r *frontRun) drain() {
	grace := r.front.cfg.Grace
	late := time.NewTimer(grace + 500*time.Millisecond)
	defer late.Stop()
	select {
	case r.out <- outgoing{message: drainMessage(grace)}:
	case <-r.child.exited:
		return
	case <-late.C:
		return
	}
	select {
	case <-r.child.exited:
	case <-late.C:
	}
}

// send writes what the front is to be told.
func (r *frontRun) send() error {
	messages, err := r.front.setupMessages()
	for {
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := r.write(outgoing{message: m}); err != nil {
				return err
			}
		}
		messages = nil
		select {
		case o := <-r.out:
			err = r.write(o)
		case <-r.front.changed:
			messages, err = r.front.changedMessages()
		case <-r.gone:
			return nil
		}
	}
}

func (r *frontRun) write(o outgoing) error {
	defer o.close()
	var oob []byte
	if o.file != nil {
		oob = unix.UnixRights(int(o.file.Fd()))
	}
	r.control.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, _, err := r.control.WriteMsgUnix(o.message, oob, nil); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// queue hands a message to send.
func (r *frontRun) queue(o outgoing) error {
	select {
	case r.out <- o:
		return nil
	case <-r.gone:
		o.close()
		return errors.New("front is gone")
	}
}
