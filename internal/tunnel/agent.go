package tunnel

import (
	"context"
	"fmt"
	"net"

	"shellagent/internal/forward"
	"shellagent/internal/sshagent"
)

// Agent has the agent's host listen for programs that ask for ssh-agent, and
// brings their requests, as far as they may pass, to the one that dial connects
// to: -A. It returns the path of the socket there. refused, unless nil, is told
// what did not pass.
func (s *Set) Agent(ctx context.Context, dial func(context.Context) (net.Conn, error), refused func(what string)) (path string, err error) {
	n, err := s.link.Listen(ctx, forward.Request{Listen: forward.Agent}, func(_ string, stream *forward.Stream) {
		c, err := s.begin("-A", "", "ssh-agent")
		if err != nil {
			refuse(stream, forward.CodeLimit, err)
			return
		}
		s.ask(c, stream, dial, refused)
	})
	if err != nil {
		return "", err
	}
	if n.At.Path == "" {
		_ = n.Close()
		return "", fmt.Errorf("the agent does not say where it listens for ssh-agent's clients")
	}
	return n.At.Path, nil
}

// ask brings requests of one client to ssh-agent.
func (s *Set) ask(c *Connection, stream *forward.Stream, dial func(context.Context) (net.Conn, error), refused func(string)) {
	agent, err := dial(s.ctx)
	if err != nil {
		refuse(stream, codeOf(err), err)
		s.failed(c, err)
		return
	}
	defer context.AfterFunc(s.ctx, func() { agent.Close() })()
	defer agent.Close()
	defer stream.Close()
	if err := forward.WriteAnswer(stream, forward.Answer{}); err != nil {
		s.failed(c, err)
		return
	}
	s.cfg.Told(Event{Kind: Opened, Connection: *c})
	err = sshagent.Filter(stream, agent, refused)
	s.end(c)
	if s.ctx.Err() != nil {
		err = nil
	}
	s.cfg.Told(Event{Kind: Closed, Connection: *c, Err: err})
}
