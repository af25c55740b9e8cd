package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/shell"
)

// actFront is what the test program does when it was started as a front: acts
// are what honest, broken and taken-over fronts do.
func actFront(args []string) int {
	act, ok := acts[args[0]]
	if !ok {
		return 2
	}
	if err := act(args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var acts = map[string]func(args []string) error{
	"serve":     actServe,
	"die":       func([]string) error { return io.ErrUnexpectedEOF },
	"ready-die": actReadyDie,
	"wait":      actWait,
	"packets":   actPackets,
	"dials":     actDials,
	"nonsense":  actNonsense,
	"mute":      actMute,
	"deaf":      actDeaf,
	"shutdown":  actShutdown,
	"broker":    actBroker,
}

func control() *os.File { return os.NewFile(FrontControlFD, "control") }

// actServe is an honest front without TLS and HTTP: whatever a client sends on
// a connection is the target of a call, and the reply's detail is the answer.
func actServe([]string) error {
	link, err := NewFrontLink(control())
	if err != nil {
		return err
	}
	setup, err := link.Setup()
	if err != nil {
		return err
	}
	calls := NewCallClient(link.Dial, setup.MaxCalls)
	report := func(format string, args ...any) {
		_, _ = calls.Call(context.Background(), &shell.Call{Method: "SAY", Target: fmt.Sprintf(format, args...)})
	}
	listener, err := net.FileListener(os.NewFile(FrontListenerFD, "listener"))
	if err != nil {
		return err
	}
	go serveTargets(listener, calls)
	go func() {
		link.Refused(shell.ReasonOrigin, flooder)
		link.Refused(shell.ReasonOrigin, flooder)
		report("setup %s %d %d %v %s", setup.BasePath, setup.Listeners, setup.NoFile, setup.Certificate, setup.Agent)
		if setup.Certificate {
			return
		}
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		_ = link.RequestLeaf(&key.PublicKey)
	}()
	if err := link.Ready(); err != nil {
		return err
	}
	return link.Run(context.Background(), FrontEvents{
		Leaf:        func(chain [][]byte) { go report("leaf %s", chain) },
		Certificate: func(c Certificate) { go report("certificate %s %s", c.Key, c.Chain) },
		Agent:       func(b []byte) { go report("agent %s", b) },
		Renew:       func() { go report("renew") },
		Drain:       func(time.Duration) { os.Exit(0) },
	})
}

func serveTargets(l net.Listener, calls *CallClient) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 1024)
		n, _ := c.Read(b)
		r, err := calls.Call(context.Background(), &shell.Call{Method: "GET", Target: string(b[:n])})
		if err != nil {
			r = &shell.Reply{Detail: err.Error()}
		}
		_, _ = io.WriteString(c, r.Detail)
		c.Close()
	}
}

func actReadyDie([]string) error {
	link, err := NewFrontLink(control())
	if err != nil {
		return err
	}
	return link.Ready()
}

func actWait([]string) error { select {} }

// rawControl is the control socket as a taken-over front has it.
func rawControl() *net.UnixConn {
	c, err := unixConn(control())
	if err != nil {
		panic(err)
	}
	return c
}

// actPackets says it is ready, sends each argument (in hex) as a packet, then
// waits for the end of its control socket.
func actPackets(args []string) error {
	c := rawControl()
	_, _ = c.Write([]byte{byte(controlReady)})
	for _, a := range args {
		b, err := hex.DecodeString(a)
		if err != nil {
			return err
		}
		_, _ = c.Write(b)
	}
	_, _ = io.Copy(io.Discard, c)
	return nil
}

// actDials takes as many connections as it can get and keeps them, then floods.
func actDials([]string) error {
	c := rawControl()
	_, _ = c.Write([]byte{byte(controlReady)})
	for {
		if _, err := c.Write([]byte{byte(controlDial)}); err != nil {
			return err
		}
		b, oob := make([]byte, 1+maxControl), make([]byte, 64)
		if _, _, _, _, err := c.ReadMsgUnix(b, oob); err != nil {
			return err
		}
	}
}

// actNonsense sends something on a connection that is not a call.
func actNonsense([]string) error {
	link, err := NewFrontLink(control())
	if err != nil {
		return err
	}
	if _, err := link.Setup(); err != nil {
		return err
	}
	go link.Run(context.Background(), FrontEvents{Leaf: func([][]byte) {}, Agent: func([]byte) {}, Drain: func(time.Duration) {}})
	conn, err := link.Dial(context.Background())
	if err != nil {
		return err
	}
	_ = link.Ready()
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	select {}
}

// actMute asks and asks, and never reads an answer.
func actMute([]string) error {
	c := rawControl()
	_, _ = c.Write([]byte{byte(controlReady)})
	for {
		if _, err := c.Write([]byte{byte(controlDial)}); err != nil {
			return err
		}
	}
}

// actDeaf closes its control socket and stays.
func actDeaf([]string) error {
	c := rawControl()
	_, _ = c.Write([]byte{byte(controlReady)})
	c.Close()
	select {}
}

// actShutdown shuts the inherited socket down for everybody, and dies. Its
// successor serves.
func actShutdown([]string) error {
	kind, err := unix.GetsockoptInt(FrontListenerFD, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || kind != 1 {
		return fmt.Errorf("inherited a socket that does not listen: %d, %w", kind, err)
	}
	if err := actReadyDie(nil); err != nil {
		return err
	}
	return unix.Shutdown(FrontListenerFD, unix.SHUT_RDWR)
}

// actBroker is an agent with a front that does nothing; it prints the front's pid.
func actBroker([]string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	started := make(chan struct{}, 1)
	f, err := NewFront(FrontConfig{
		Listeners: []*net.TCPListener{l.(*net.TCPListener)},
		Handler:   handlerFunc(echo), SignLeaf: func(*ecdsa.PublicKey) ([][]byte, error) { return nil, nil },
		Program: frontProgram("wait"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Started: func(uint64) { started <- struct{}{} },
	})
	if err != nil {
		return err
	}
	go func() {
		<-started
		fmt.Println(f.PID())
	}()
	return f.Run(context.Background())
}

func frontProgram(act string, args ...string) []string {
	return append([]string{"/proc/self/exe", "front.test", "front", act}, args...)
}
