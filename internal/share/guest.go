package share

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// guest is a process at the other end of a connection.
type guest struct {
	holder  *Holder
	conn    net.Conn
	pid     int
	counted bool // has a session, guarded by holder.mu

	mu    sync.Mutex
	shown *StatusSession // once a session is open

	writes  sync.Mutex
	greeted bool
}

func (g *guest) line() (StatusSession, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shown == nil {
		return StatusSession{}, false
	}
	return *g.shown, true
}

// serve answers one guest. It returns when the connection is closed.
func (g *guest) serve(ctx context.Context) {
	defer g.conn.Close()
	in := bufio.NewReaderSize(g.conn, 32<<10)
	ask, err := g.meet(in)
	if err != nil {
		return
	}
	switch ask.Do {
	case DoOpen:
		g.open(ctx, in, ask)
	case DoStatus:
		_ = g.sendJSON(kindStatus, g.holder.Status())
	case DoStop, DoExit:
		g.holder.Stop(ask.Do == DoExit)
		_ = g.sendJSON(kindStatus, g.holder.Status())
	case DoForward, DoCancel:
		g.forward(ctx, ask)
	case DoStay:
		g.stay(ctx, in)
	default:
		_ = g.sendJSON(kindFailed, Failure{Code: 1, Lines: []string{fmt.Sprintf("the holder of the connection cannot do %.40q", ask.Do)}})
	}
}

// meet reads the greeting and what is asked.
func (g *guest) meet(in *bufio.Reader) (ask Ask, err error) {
	_ = g.conn.SetReadDeadline(time.Now().Add(askTime))
	err = readGreeting(in)
	var k kind
	var data []byte
	if err == nil {
		k, data, err = receive(in, nil)
	}
	if err == nil && k != kindAsk {
		err = errMessage
	}
	if err == nil {
		err = parseJSON(data, &ask)
	}
	if err != nil {
		_, _ = io.WriteString(g.conn, greeting) // so that it knows with whom it cannot speak
		return ask, err
	}
	return ask, g.conn.SetReadDeadline(time.Time{})
}

// readGreeting fails with [ErrVersion] when the other side speaks another version.
func readGreeting(in io.Reader) error {
	var theirs [len(greeting)]byte
	if _, err := io.ReadFull(in, theirs[:]); err != nil {
		return err
	}
	if string(theirs[:]) != greeting {
		return ErrVersion
	}
	return nil
}

// send writes a message, the first of them in one piece with the greeting.
func (g *guest) send(k kind, data []byte) error {
	g.writes.Lock()
	defer g.writes.Unlock()
	if g.greeted {
		return send(g.conn, k, data)
	}
	g.greeted = true
	_, err := g.conn.Write(append(appendHead([]byte(greeting), k, len(data)), data...))
	return err
}

func (g *guest) sendJSON(k kind, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return g.send(k, data)
}

// Say implements [Voice].
func (g *guest) Say(level Level, text string) { _ = g.sendJSON(kindSaid, saying{level, text}) }

// Outage implements [Voice].
func (g *guest) Outage(over bool) { _ = g.send(kindOutage, flag(over)) }

func flag(yes bool) []byte {
	if yes {
		return []byte{1}
	}
	return []byte{0}
}
