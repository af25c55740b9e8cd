package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"shellagent/jwtauth"
	"shellagent/shell"
	"shellagent/sources"
)

// SessionState is a session as one image of the agent hands it to the next: what
// the broker knows of it, and what the session itself does.
type SessionState struct {
	Session shell.SessionState `json:"session"`
	Asked   AskedState         `json:"asked"`
	UID     uint32             `json:"uid"`
	// Clients are the holders of session keys, oldest first.
	Clients []ClientState `json:"clients"`
}

// AskedState is what policy is asked again with, besides the open request.
type AskedState struct {
	Source  string           `json:"source"`
	Key     json.RawMessage  `json:"key"` // a JWK
	Vouched *sources.Voucher `json:"vouched,omitempty"`
	Claims  map[string]any   `json:"claims"`
	Remote  netip.Addr       `json:"remote"`
}

// ClientState is a session key and the counters of its requests.
type ClientState struct {
	Key    json.RawMessage     `json:"key"` // a JWK
	Window jwtauth.WindowState `json:"window"`
	// MAC is what was agreed with its holder, nil for none.
	MAC *jwtauth.MACState `json:"mac,omitempty"`
	// Host is the thumbprint of the host key that its holder knows.
	Host string `json:"host,omitempty"`
}

// AwaitClients is called before connections are cut for an upgrade, and when the
// front died and took them with it; see [shell.Session.AwaitClient].
func (b *Broker) AwaitClients() { b.sessions.AwaitClients() }

// Freeze brings every session to a standstill until [Broker.Thaw]. The front has
// to be suspended: no call may be under way. The error, after which everything
// goes on, is that something did not come to rest before ctx was done.
func (b *Broker) Freeze(ctx context.Context) error {
	select {
	case b.again <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("policy is being asked about live sessions: %w", ctx.Err())
	}
	if err := b.sessions.Freeze(ctx); err != nil {
		<-b.again
		return err
	}
	return nil
}

// Thaw lets every session go on.
func (b *Broker) Thaw() {
	b.sessions.Thaw()
	<-b.again
}

// States calls each with every frozen session and its program, which is nil when
// the session has finished. It ends with the first error.
func (b *Broker) States(each func(SessionState, shell.Program) error) error {
	return b.sessions.States(func(s shell.SessionState, p shell.Program) error {
		state, err := b.state(s)
		if err != nil {
			return err
		}
		return each(state, p)
	})
}

func (b *Broker) state(s shell.SessionState) (SessionState, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lives[s.Opening.ID]
	if l == nil {
		return SessionState{}, fmt.Errorf("session %s is not known to the broker", s.Opening.ID)
	}
	asked := &l.request
	state := SessionState{Session: s, UID: l.uid, Asked: AskedState{
		Source: asked.Source, Key: asked.Key.JWK(), Vouched: asked.Vouched, Claims: asked.Claims, Remote: asked.Remote,
	}}
	for _, kid := range l.kids {
		c := b.clients[kid]
		if c == nil {
			return SessionState{}, fmt.Errorf("session %s: its key %s is not known", s.Opening.ID, kid)
		}
		state.Clients = append(state.Clients, ClientState{
			Key: c.key.JWK(), Window: c.window.State(), MAC: c.mac.State(), Host: c.host,
		})
	}
	return state, nil
}

// restored is a state that was understood.
type restored struct {
	key     jwtauth.PublicKey
	clients []*client
}

// read understands what a state says in the broker's own part.
func (s *SessionState) read() (r restored, err error) {
	if r.key, err = jwtauth.ParseJWK(s.Asked.Key); err != nil {
		return r, err
	}
	if len(s.Clients) == 0 || len(s.Clients) > maxKids {
		return r, errors.New("it has not between one and eight clients")
	}
	for _, c := range s.Clients {
		key, err := jwtauth.ParseJWK(c.Key)
		if err != nil {
			return r, err
		}
		mac, err := jwtauth.RestoreMAC(key, c.MAC)
		if err != nil {
			return r, err
		}
		restored := &client{key: key, owner: r.key.Thumbprint(), mac: mac, host: c.Host}
		restored.window.Restore(c.Window)
		r.clients = append(r.clients, restored)
	}
	return r, nil
}

// Check says what in a state cannot be restored. It changes nothing.
func (s *SessionState) Check() error {
	_, err := s.read()
	if err == nil {
		err = s.Session.Check()
	}
	if err != nil {
		return fmt.Errorf("state of session %s: %w", s.Session.Opening.ID, err)
	}
	return nil
}

// Restore goes on with a session that an older image of the agent froze since
// ago; p is its program, suspended, and nil when it has finished. Policy has to
// be asked again afterwards: [Broker.SetPolicy]. The error leaves p untouched, and
// nothing of the session behind. No session may be opened meanwhile: an open that
// took one of its keys would have it hung up.
func (b *Broker) Restore(s SessionState, p shell.Program, since time.Duration) (*shell.Session, error) {
	id := s.Session.Opening.ID
	r, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("state of session %s: %w", id, err)
	}
	if err := b.sessions.Vacant(&s.Session); err != nil {
		return nil, err
	}
	session, err := shell.RestoreSession(shell.SessionConfig{
		OnEvent: b.sessionEvent, Now: b.now, OnGone: func() { b.forget(id) },
	}, s.Session, p, since)
	if err != nil {
		return nil, err
	}
	b.know(session, &s, r)
	select {
	case <-session.Gone():
		b.forget(id) // it was before it was known
	default:
	}
	if err := b.sessions.Adopt(s.Session.Opening, session); err != nil {
		session.HangUp("not restored")
		return nil, err
	}
	if !s.Session.Ended {
		e := sessionFact(shell.EventContinued, session)
		e.Remote, e.Duration = session.Remote(), time.Since(session.Started())
		b.observe(e)
	}
	return session, nil
}

// know makes a restored session known to requests and to policy.
func (b *Broker) know(session *shell.Session, s *SessionState, r restored) {
	l := &live{session: session, uid: s.UID, request: sources.Request{
		Source: s.Asked.Source, Key: r.key, Vouched: s.Asked.Vouched, Claims: s.Asked.Claims,
		Remote: s.Asked.Remote, Open: session.Request(), Again: true,
	}}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range r.clients {
		c.session = session
		b.clients[c.key.Thumbprint()] = c
		l.kids = append(l.kids, c.key.Thumbprint())
	}
	b.lives[s.Session.Opening.ID] = l
	b.remember(l)
}
